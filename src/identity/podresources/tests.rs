use super::*;
use crate::identity::Allocation;
use crate::identity::Assignee;
use crate::identity::podresources::messages::{
    ContainerDevices, ContainerResources, ListResponse, PodResources,
};

fn source(root: &Path) -> Source {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    Source::new(HostRoot::new(root), "/run/kubelet.sock".into(), runtime)
}

fn answer() -> client::Answer {
    let devices = ContainerDevices { resource_name: "nvidia.com/gpu".into(), device_ids: vec!["0".into()] };
    let container =
        ContainerResources { name: "c".into(), devices: vec![devices], dynamic_resources: Vec::new() };
    let pod = PodResources { name: "p".into(), namespace: "n".into(), containers: vec![container] };
    client::Answer { list: ListResponse { pod_resources: vec![pod] }, allocatable: None }
}

fn given(board: &NameBoard) -> Vec<Allocation> {
    board.names().allocations().flat_map(|allocations| allocations.given.clone()).collect()
}

#[test]
fn the_last_answer_holds_for_a_while_and_then_no_more() {
    let root = tempfile::tempdir().unwrap();
    let (board, mut source) = (NameBoard::new(), source(root.path()));
    source.heard(&answer(), &board);
    let to = Assignee::PodContainer { namespace: "n".into(), pod: "p".into(), container: "c".into() };
    let held = [Allocation { to, device: DeviceName::Index(0), replicas: 1 }];
    assert_eq!(given(&board), held);
    let late = IdentityError::new(client::LATE, "");
    source.since_answer = KEPT - client::LIMIT * 2;
    source.failed(&late, &board);
    source.failed(&IdentityError::new("nobody listens", ""), &board);
    assert_eq!(given(&board), held);
    source.failed(&late, &board);
    assert_eq!(given(&board), []);
    source.heard(&answer(), &board);
    assert_eq!(given(&board), held);
}

#[test]
fn replicas_that_were_told_once_stay_when_they_are_told_no_more() {
    let root = tempfile::tempdir().unwrap();
    let (board, mut source) = (NameBoard::new(), source(root.path()));
    let devices = ContainerDevices {
        resource_name: "nvidia.com/gpu.shared".into(),
        device_ids: vec!["0::0".into(), "0::1".into()],
    };
    let told = messages::AllocatableResponse { devices: vec![devices] };
    source.heard(&client::Answer { allocatable: Some(told), ..answer() }, &board);
    source.heard(&answer(), &board);
    let names = board.names();
    let replicas = names.allocations().find_map(|allocations| allocations.replicas_of(&DeviceName::Index(0)));
    assert_eq!(replicas, Some(2));
}

#[test]
fn only_where_there_is_a_directory_a_socket_is_missed() {
    let root = tempfile::tempdir().unwrap();
    let (board, mut source) = (NameBoard::new(), source(root.path()));
    let (_stop, mut stopped) = tokio::sync::mpsc::channel(1);
    source.look(&board, &mut stopped);
    assert!(board.outcomes().next().is_none());
    std::fs::create_dir(root.path().join("run")).unwrap();
    source.look(&board, &mut stopped);
    let reason = |board: &NameBoard| board.outcomes().next().and_then(|outcome| outcome.error.clone());
    assert_eq!(reason(&board).as_deref(), Some("there is no socket"));
    let socket = root.path().join("run/kubelet.sock");
    drop(std::os::unix::net::UnixListener::bind(socket).unwrap());
    source.look(&board, &mut stopped);
    assert_eq!(reason(&board).as_deref(), Some("nobody listens"));
    std::fs::remove_dir_all(root.path().join("run")).unwrap();
    source.look(&board, &mut stopped);
    assert_eq!(reason(&board).as_deref(), Some("there is no socket"));
}
