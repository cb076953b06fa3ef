use super::*;
use crate::identity::podresources::messages::{CdiDevice, ContainerDevices, DynamicResource, PodResources};
use proptest::prelude::{any, prop_assert, proptest};
use prost::Message;

const GPU: &str = "GPU-5fd4f087-86f3-1234-8ad1-e6b3cbd0f0a1";
const MIG: &str = "MIG-5fd4f087-86f3-5678-8ad1-e6b3cbd0f0a1";
const OLD_MIG: &str = "MIG-GPU-5fd4f087-86f3-1234-8ad1-e6b3cbd0f0a1/1/0";

fn devices(resource: &str, ids: &[&str]) -> ContainerDevices {
    let device_ids = ids.iter().map(|id| (*id).to_owned()).collect();
    ContainerDevices { resource_name: resource.to_owned(), device_ids }
}

fn claim(device: &str, cdi: &str) -> ClaimResource {
    ClaimResource {
        cdi_devices: vec![CdiDevice { name: cdi.to_owned() }],
        driver_name: "gpu.nvidia.com".to_owned(),
        pool_name: "node".to_owned(),
        device_name: device.to_owned(),
        share_id: None,
    }
}

fn list(devices: Vec<ContainerDevices>, claims: Vec<ClaimResource>) -> ListResponse {
    let dynamic =
        DynamicResource { claim_name: "c".into(), claim_namespace: "ml".into(), claim_resources: claims };
    let container = ContainerResources { name: "train".into(), devices, dynamic_resources: vec![dynamic] };
    let pod = PodResources { name: "job-0".into(), namespace: "ml".into(), containers: vec![container] };
    ListResponse { pod_resources: vec![pod] }
}

fn given(list: &ListResponse) -> Vec<(DeviceName, u32)> {
    let given = allocations(list, Vec::new()).given;
    given.into_iter().map(|allocation| (allocation.device, allocation.replicas)).collect()
}

#[test]
fn every_form_of_id_is_told() {
    let gpu = || DeviceName::Gpu(GPU.into());
    let shared = format!("{GPU}::3");
    let shared_mig = format!("{MIG}::0");
    let instance = DeviceName::Instance { index: 2, instance: 11 };
    let address = || DeviceName::Pci("0000:c1:00.0".into());
    let card = || DeviceName::Card("card1".into());
    for (resource, id, name, is_replica) in [
        ("nvidia.com/gpu", GPU, gpu(), false),
        ("nvidia.com/a100-big", GPU, gpu(), false),
        ("nvidia.com/gpu.shared", &shared, gpu(), true),
        ("nvidia.com/gpu", &shared, gpu(), true),
        ("nvidia.com/mig-1g.5gb", MIG, DeviceName::Mig(MIG.into()), false),
        ("nvidia.com/mig-1g.5gb.shared", &shared_mig, DeviceName::Mig(MIG.into()), true),
        ("nvidia.com/mig-1g.5gb", OLD_MIG, DeviceName::Mig(OLD_MIG.into()), false),
        ("nvidia.com/gpu", "nvidia7", DeviceName::Index(7), false),
        ("nvidia.com/gpu", "nvidia2/gi11", instance.clone(), false),
        ("nvidia.com/gpu", "nvidia0/vgpu3", DeviceName::Index(0), true),
        ("nvidia.com/gpu", "nvidia2/gi11/vgpu0", instance, true),
        ("nvidia.com/gpu", "3", DeviceName::Index(3), false),
        ("nvidia.com/gpu.shared", "3::1", DeviceName::Index(3), true),
        ("amd.com/gpu", "0000:C1:00.0", address(), false),
        ("amd.com/gpu", "card1", card(), false),
        ("gpu.intel.com/i915", "card1-0", card(), true),
        ("gpu.intel.com/xe", "card1-12", card(), true),
        ("gpu.intel.com/xe", "card1", card(), false),
        ("gpu.intel.com/xe", "0000:c1:00.0", address(), false),
    ] {
        assert_eq!(by_plugin(resource, id), Some(Device { name, is_replica }), "{resource} {id}");
    }
}

#[test]
fn what_is_no_gpu_is_none() {
    let long = "0".repeat(97);
    for (resource, id) in [
        ("hugepages-2Mi", "0"),
        ("intel.com/sriov", "0000:c1:00.0"),
        ("nvidia.com/hostdev", "0000:c1:00.0"),
        ("nvidia.com/GA102GL_A10", "42"),
        ("nvidia.com/mig-1g.5gb", "0:1"),
        ("nvidia.com/gpu", "0:1"),
        ("nvidia.com/gpu", ""),
        ("nvidia.com/gpu", "::"),
        ("nvidia.com/gpu", "+1"),
        ("nvidia.com/gpu", &long),
        ("nvidia.com/gpu", "GPU-"),
        ("nvidia.com/gpu", "GPU-5fd4f087::x"),
        ("nvidia.com/gpu", "MIG-GPU-5fd4f087-86f3-1234-8ad1-e6b3cbd0f0a1/1"),
        ("nvidia.com/gpu", "nvidia"),
        ("nvidia.com/gpu", "nvidia0/gi"),
        ("nvidia.com/gpu", "nvidia4294967296"),
        ("gpu.intel.com/i915_monitoring", "all"),
        ("gpu.intel.com/i915", "card-1"),
        ("amd.com/gpu", "0000:c1:00.8"),
        ("amd.com/gpu", "amdgpu_xcp_1"),
        ("nvidia.com", "0"),
    ] {
        assert_eq!(by_plugin(resource, id), None, "{resource} {id}");
    }
}

#[test]
fn replicas_add_up_and_devices_that_stand_twice_count_once() {
    let first = format!("{GPU}::0");
    let second = format!("{GPU}::1");
    let per_node = vec![
        devices("nvidia.com/gpu.shared", &[&first, &second]),
        devices("nvidia.com/gpu.shared", &[&second]),
        devices("nvidia.com/mig-1g.5gb", &[MIG]),
        devices("nvidia.com/mig-1g.5gb", &[MIG]),
        devices("rdma/hca", &["0"]),
    ];
    let expected = [(DeviceName::Gpu(GPU.into()), 2), (DeviceName::Mig(MIG.into()), 1)];
    assert_eq!(given(&list(per_node, Vec::new())), expected);
}

#[test]
fn all_replicas_are_counted_only_of_what_is_shared() {
    let ids: Vec<_> = (0..4).map(|replica| format!("{GPU}::{replica}")).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    let allocatable = AllocatableResponse {
        devices: vec![
            devices("nvidia.com/gpu.shared", &ids),
            devices("nvidia.com/gpu.shared", &ids[..1]),
            devices("nvidia.com/gpu", &["nvidia1"]),
        ],
    };
    assert_eq!(replicas(&allocatable), [(DeviceName::Gpu(GPU.into()), 4)]);
}

#[test]
fn claims_tell_whole_gpus_and_what_the_runtime_calls_by_uuid() {
    let by_uuid = format!("nvidia.com/gpu={MIG}");
    for (device, cdi, expected) in [
        ("gpu-3", "k8s.gpu.nvidia.com/claim=dab5-gpu-3", Some(DeviceName::Index(3))),
        ("gpu-0-mig-9-0-1", "k8s.gpu.nvidia.com/claim=dab5-gpu-0-mig-9-0-1", None),
        ("gpu-0-mig-9-0-1", &by_uuid, Some(DeviceName::Mig(MIG.into()))),
        ("", "nvidia.com/gpu=2", Some(DeviceName::Index(2))),
        ("gpu-vfio-0", "", None),
    ] {
        let held: Vec<_> = given(&list(Vec::new(), vec![claim(device, cdi)]));
        let expected: Vec<_> = expected.into_iter().map(|name| (name, 1)).collect();
        assert_eq!(held, expected, "{device} {cdi}");
    }
    let other = ClaimResource { driver_name: "compute-domain.nvidia.com".into(), ..claim("gpu-0", "") };
    assert_eq!(given(&list(Vec::new(), vec![other])), []);
    let shares =
        ["a", "b", "b"].map(|share| ClaimResource { share_id: Some(share.into()), ..claim("gpu-0", "") });
    assert_eq!(given(&list(Vec::new(), shares.into())), [(DeviceName::Index(0), 2)]);
}

#[test]
fn names_and_numbers_have_limits() {
    let mut long = list(vec![devices("nvidia.com/gpu", &["0"])], Vec::new());
    assert_eq!(given(&long).len(), 1);
    for pod in &mut long.pod_resources {
        pod.name = "x".repeat(254);
    }
    assert_eq!(given(&long), []);
    let ids: Vec<_> = (0..5000).map(|index| format!("nvidia{index}")).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    assert_eq!(given(&list(vec![devices("nvidia.com/gpu", &ids)], Vec::new())).len(), MOST);
}

#[test]
fn an_answer_is_read_by_the_numbers_of_its_fields() {
    // Each field is its number and length in front of its text; 0x18 is a CPU, 0x22 some memory, 0x1a a topology.
    let devices = b"\x0a\x0envidia.com/gpu\x12\x01\x35\x1a\x02\x0a\x00";
    let claim = b"\x0a\x03\x0a\x01z\x12\x0egpu.nvidia.com\x1a\x01n\x22\x05gpu-7\x2a\x01s";
    let nested = |tag: u8, inner: &[u8]| [&[tag, u8::try_from(inner.len()).unwrap()], inner].concat();
    let dynamic = [b"\x12\x01c\x1a\x02ml".to_vec(), nested(0x22, claim)].concat();
    let container = [
        b"\x0a\x05train".to_vec(),
        nested(0x12, devices),
        b"\x18\x04\x22\x00".to_vec(),
        nested(0x2a, &dynamic),
    ];
    let pod = [b"\x0a\x05job-0\x12\x02ml".to_vec(), nested(0x1a, &container.concat())].concat();
    let read = ListResponse::decode(nested(0x0a, &pod).as_slice()).unwrap();
    let all = allocations(&read, Vec::new()).given;
    let to =
        Assignee::PodContainer { namespace: "ml".into(), pod: "job-0".into(), container: "train".into() };
    let expected =
        [5, 7].map(|index| Allocation { to: to.clone(), device: DeviceName::Index(index), replicas: 1 });
    assert_eq!(all, expected);
}

proptest! {
    #[test]
    fn no_id_is_too_strange(
        resource in "(nvidia|amd|gpu.intel).com/(gpu|.*)",
        id in "(GPU-|MIG-|MIG-GPU-|nvidia|card|[0-9a-f]{4}:|)(.*)(::|/gi|/vgpu|-|)(.*)",
    ) {
        let list = list(vec![devices(&resource, &[&id])], vec![claim(&id, &id)]);
        prop_assert!(given(&list).len() <= 2);
    }

    #[test]
    fn no_answer_is_too_strange(bytes in any::<Vec<u8>>()) {
        if let Ok(list) = ListResponse::decode(bytes.as_slice()) {
            prop_assert!(allocations(&list, Vec::new()).given.len() <= MOST);
        }
        if let Ok(allocatable) = AllocatableResponse::decode(bytes.as_slice()) {
            prop_assert!(replicas(&allocatable).len() <= MOST);
        }
    }
}
