"""Wrong values are refused with a line that helps, good ones do what they say."""

import subprocess
import sys

import pytest
from conftest import CHART, REPOSITORY, VARIANTS, call, container, helm, of_kind, only

RELAY = "relay.enabled=true,relay.config.carbon.source[0].provider=neso"
# What is set, and words of the line that refuses it: where it is, and what would be right.
REFUSED = [
    ("foo=1", "'foo' not allowed"),
    ("image.tga=1", "'/image': additional properties 'tga' not allowed"),
    ("port=80", "'/port': minimum: got 80, want 1,024"),
    ("port=http", "'/port': got string, want integer"),
    ("state.type=pvc", "'/state/type': value must be one of 'hostPath', 'emptyDir', 'none'"),
    ("state.hostPath=var", "'/state/hostPath': 'var' does not match"),
    ("host.runtimes[0]=rkt", "'/host/runtimes/0': value must be one of 'containerd'"),
    ("host.extraDirectories[0]=/", "'/host/extraDirectories/0': '/' does not match"),
    ("host.extraDirectories[0]=/run/../etc", "'/host/extraDirectories/0'"),
    ("host.extraDirectories[0]=/etc", "/etc is more than wattprint needs"),
    ("config.foo.a=1", "'/config': additional properties 'foo' not allowed"),
    ("config.kubernetes.source=x", "value must be one of 'auto', 'api', 'kubelet', 'files'"),
    ("config.web.listen_address=:1", "config.web.listen_address: probes, Service and NetworkPolicy need to know it; set port"),
    ("config.web.telemetry_path=/m", "config.web.telemetry_path: monitors ask for /metrics"),
    ("config.web.systemd_socket=true", "config.web.systemd_socket: no systemd"),
    ("config.path.sysfs=/x", "config.path: the chart sets it"),
    ("config.state.dir=/x", "config.state.dir: the root file system is read-only; set state.type"),
    ("relay.config.state.dir=/x", "relay.config.state.dir"),
    ("securityContext.privileged=true", "'/securityContext/privileged': value must be false"),
    ("securityContext.allowPrivilegeEscalation=true", "'/securityContext/allowPrivilegeEscalation': value must be false"),
    ("securityContext.readOnlyRootFilesystem=false", "'/securityContext/readOnlyRootFilesystem': value must be true"),
    ("securityContext.capabilities.add[0]=SYS_ADMIN", "additional properties 'capabilities' not allowed"),
    ("gpu.nvidia.cdi=true,gpu.nvidia.runtimeClassName=nvidia", "choose one"),
    ("gpu.nodesOnly=true,affinity.nodeAffinity.x=1", "set gpu.nodesOnly to false"),
    ("gpu.nvidia.libraryDir=lib", "'/gpu/nvidia/libraryDir': 'lib' does not match"),
    ("resources.limits.memory=lots", "'/resources/limits/memory'"),
    ("updateStrategy.rollingUpdate.maxSurge=1", "'/updateStrategy/rollingUpdate/maxSurge': value must be one of 0"),
    ("podMonitor.interval=2m", "'/podMonitor/interval': '2m' does not match"),
    ("podMonitor.enabled=true,serviceMonitor.enabled=true", "each node would be scraped and counted twice; choose one"),
    ("prometheusRule.exclude[0]=x", "value must be one of 'alerts'"),
    ("budgets.nodes[0].name=x", "'/budgets/nodes/0': missing property 'grams'"),
    ("budgets.nodes[0].name=x,budgets.nodes[0].grams=0", "'/budgets/nodes/0/grams': exclusiveMinimum: got 0, want 0"),
    ("extraArgs[0]=serve", "'/extraArgs/0': 'serve' does not match pattern '^--'"),
    ("extraArgs[0]=--kubernetes.source=files", "extraArgs: --kubernetes.source=files is set by the chart, or changes what it must know"),
    ("extraEnv[0].name=STATE_DIRECTORY,extraEnv[0].value=x", "extraEnv: STATE_DIRECTORY is set by the chart"),
    ("extraEnv[0].name=WATTPRINT_KUBERNETES__SOURCE,extraEnv[0].value=x", "or changes what it must know"),
    ("extraVolumes[0].name=sys", "extraVolumes: sys is a name of the chart's"),
    ("podAnnotations.checksum/config=x", "podAnnotations: checksum/config is set by the chart"),
    ("host.extraDirectories={/run/a/b,/run/a-b}", "/run/a/b and /run/a-b can't be told apart"),
    ("host.extraDirectories[0]=/run/containerd/containerd.sock", "is more than wattprint needs"),
    ("host.extraDirectories[0]=/var/lib/kubelet", "is more than wattprint needs"),
    ("host.extraDirectories[0]=/var/run/libvirt/qemu", "/var/run is a link to /run; name that"),
    ("state.hostPath=/etc/kubernetes", "state.hostPath: /etc/kubernetes has other things of the node in it"),
    ("serviceAccount.create=false", "the namespace's default account would get rights"),
    ("openshift.enabled=true,podSecurityContext.seccompProfile.type=Unconfined", "allow RuntimeDefault only"),
    ("config.collector.kubernetes=x", "got string, want boolean"),
    ("probes.liveness=null", "missing property 'liveness'"),
    ("relay=null", "missing property 'relay'"),
    ("extraArgs[0]=--path.sysfs=/x", "extraArgs: --path.sysfs=/x is set by the chart"),
    ("extraArgs[0]=--web.listen-address=:1", "see port"),
    ("podLabels.app\\.kubernetes\\.io/name=x", "podLabels: app.kubernetes.io/name is set by the chart"),
    ("commonLabels.app\\.kubernetes\\.io/component=x", "commonLabels: app.kubernetes.io/component is set by the chart"),
    ("commonLabels.a=x,podLabels.a=y", "podLabels: a is one of commonLabels"),
    ("openshift.clusterMonitoring=true", "set openshift.enabled"),
    ("openshift.enabled=true,openshift.clusterMonitoring=true", "there is nothing for it to find; set podMonitor.enabled"),
    ("affinity=null", "missing property 'affinity'"),
    ("extraArgs=null", "missing property 'extraArgs'"),
    (f"{RELAY},relay.config=null", "'/relay': missing property 'config'"),
    ("extraEnv[0].name=A,extraEnv[0].value=1", "'/extraEnv/0/value': got number, want string"),
    ("relay.enabled=true", "relay.config.carbon.source: a relay without sources"),
    (f"{RELAY},config.carbon.source[0].provider=rte", "move these to relay.config.carbon.source"),
    (f"{RELAY},relay.replicas=0", "'/relay/replicas': minimum: got 0, want 1"),
]


@pytest.mark.parametrize(("given", "words"), REFUSED, ids=[given for given, _ in REFUSED])
def test_wrong_values_are_refused(given, words):
    assert words in call("helm", "template", "wattprint", str(CHART), f"--set={given}", succeeds=False)


def configurations(variant):
    """Each configuration file of a variant."""
    return [each["data"]["config.toml"] for each in of_kind(helm(variant), "ConfigMap") if "config.toml" in each["data"]]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_daemon_takes_the_configuration(variant, binary, tmp_path):
    found = configurations(variant)
    assert len(found) == 1 + len(of_kind(helm(variant), "Deployment"))
    for text in found:
        for good, content in [(True, text), (False, text + "\n[nonsense]\nx = 1\n")]:
            (tmp_path / "config.toml").write_text(content)
            # It touches nothing: the first process is no daemon. A bad file is another answer.
            asked = [binary, "release-gpus", f"--config.file={tmp_path}/config.toml", "--pid=1"]
            done = subprocess.run(asked, capture_output=True, text=True, check=False,
                                  env={"CREDENTIALS_DIRECTORY": "/run/credentials"})
            assert (done.returncode, "no running wattprint" in done.stdout) == ((1, True) if good else (2, False)), done


def test_numbers_stay_what_they_are():
    [text] = configurations("gpu-operator")
    assert "workloads = 1000000\n" in text and "processes = 100\n" in text and "pue = 1.3\n" in text


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_daemon_takes_the_arguments(variant, binary):
    for kind in ("DaemonSet", "Deployment"):
        for document in of_kind(helm(variant), kind):
            [it] = document["spec"]["template"]["spec"]["containers"]
            asked = [each for each in it["args"] if not each.startswith("--config.file=")]
            done = subprocess.run([binary, *asked, "--help"], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            done = subprocess.run([binary, *asked, "--no-such-flag"], capture_output=True, text=True, check=False)
            assert "--no-such-flag" in done.stderr


def test_the_test_pods_ask_the_services():
    for variant in VARIANTS:
        pods = of_kind(helm(variant), "Pod")
        services = {each["metadata"]["name"]: each["spec"]["ports"][0]["port"] for each in of_kind(helm(variant), "Service")}
        asked = [each["spec"]["containers"][0]["args"][-1] for each in pods]
        assert sorted(asked) == sorted(f"--address={name}:{port}" for name, port in services.items())


def test_rights_are_those_that_the_source_needs():
    rules = {variant: [rule for each in of_kind(helm(variant), "ClusterRole") for rule in each["rules"]] for variant in VARIANTS}
    pods = {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}
    assert rules["default"] == [pods]
    assert rules["kubelet"] == [{"apiGroups": [""], "resources": ["nodes/pods"], "verbs": ["get"]}]
    assert rules["files"] == []
    template = only(helm("files"), "DaemonSet")["spec"]["template"]["spec"]
    assert template["automountServiceAccountToken"] is False
    off = helm("default", "config.collector.kubernetes=false")
    assert not of_kind(off, "ClusterRole") and not of_kind(off, "ClusterRoleBinding")


def test_least_privilege_whatever_is_set():
    for variant in VARIANTS:
        it = container(helm(variant))
        security = it["securityContext"]
        added = ["DAC_READ_SEARCH", *(["SYS_PTRACE", "SYS_ADMIN"] if variant == "bare-driver" else [])]
        assert security["capabilities"] == {"drop": ["ALL"], "add": added}
        assert (security["privileged"], security["allowPrivilegeEscalation"], security["readOnlyRootFilesystem"]) == (False, False, True)
        pod = only(helm(variant), "DaemonSet")["spec"]["template"]["spec"]
        assert pod["hostPID"] is True and "hostNetwork" not in pod and "hostIPC" not in pod
        hosts = {each["name"]: each["hostPath"]["path"] for each in pod["volumes"] if "hostPath" in each}
        written = [hosts[each["name"]] for each in it["volumeMounts"] if each["name"] in hosts and not each.get("readOnly")]
        assert written in ([], ["/var/lib/wattprint"]), variant


def test_a_relay_alone_gets_the_credentials():
    [relay] = only(helm("relay"), "Deployment")["spec"]["template"]["spec"]["containers"]
    assert {"name": "credentials", "mountPath": "/run/credentials", "readOnly": True} in relay["volumeMounts"]
    assert {"name": "CREDENTIALS_DIRECTORY", "value": "/run/credentials"} in relay["env"]
    assert "credentials" not in [each["name"] for each in container(helm("relay"))["volumeMounts"]]
    config = only(helm("relay"), "ConfigMap", "power")["data"]["config.toml"]
    service = only(helm("relay"), "Service", "power-relay")
    assert f'url = "http://power-relay.wattprint:{service["spec"]["ports"][0]["port"]}"' in config


def test_a_relay_and_the_tests_have_no_rights():
    for variant in VARIANTS:
        accounts = {each["metadata"]["name"] for each in of_kind(helm(variant), "ServiceAccount")}
        daemon = only(helm(variant), "DaemonSet")["spec"]["template"]["spec"]["serviceAccountName"]
        for each in of_kind(helm(variant), "Deployment"):
            relay = each["spec"]["template"]["spec"]
            assert relay["serviceAccountName"] in accounts - {daemon} and relay["automountServiceAccountToken"] is False
            bound = [subject["name"] for binding in of_kind(helm(variant), "ClusterRoleBinding") for subject in binding["subjects"]]
            assert bound == [daemon]
        assert all("serviceAccountName" not in each["spec"] for each in of_kind(helm(variant), "Pod"))


def test_openshift_gives_uids_to_those_that_need_none():
    fixed = {"runAsUser", "runAsGroup", "fsGroup"}
    for given, is_fixed in [("openshift.enabled=true", False), ("openshift.enabled=false", True)]:
        found = helm("relay", given)
        relay = only(found, "Deployment")["spec"]["template"]["spec"]["securityContext"]
        tests = [each["spec"]["securityContext"] for each in of_kind(found, "Pod")]
        assert len(tests) == 2
        assert bool(fixed & relay.keys()) == is_fixed and all(bool(fixed & each.keys()) == is_fixed for each in tests)
        assert all(each["runAsNonRoot"] is True for each in [relay, *tests])


def test_the_kubelets_socket_is_where_the_daemon_looks():
    it = container(helm("default", "host.kubeletDir=/var/snap/microk8s/common/var/lib/kubelet"))
    assert "/host/var/lib/kubelet/pod-resources" in [each["mountPath"] for each in it["volumeMounts"]]


def test_openshifts_prometheus_is_let_in():
    [peer, _] = only(helm("openshift"), "NetworkPolicy", "wattprint")["spec"]["ingress"][0]["from"]
    assert peer == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "openshift-monitoring"}}}


def test_openshift_keeps_its_type_beside_other_options():
    found = helm("openshift", "podSecurityContext.seLinuxOptions.level=s0")
    options = only(found, "DaemonSet")["spec"]["template"]["spec"]["securityContext"]["seLinuxOptions"]
    assert options == {"type": "spc_t", "level": "s0"}


def test_labels_of_the_user_come_once():
    text = call("helm", "template", "wattprint", str(CHART), "--set=commonLabels.release=a,podMonitor.labels.release=b,podMonitor.enabled=true")
    monitor = text[text.index("kind: PodMonitor"):].split("---")[0]
    assert monitor.count("release:") == 1 and "release: b" in monitor


def test_policies_name_ports_by_number():
    # OVN-Kubernetes opens all ports for a name.
    for variant in VARIANTS:
        for policy in of_kind(helm(variant), "NetworkPolicy"):
            rules = policy["spec"].get("ingress", []) + policy["spec"]["egress"]
            ports = [port["port"] for rule in rules for port in rule.get("ports", [])]
            assert ports and all(isinstance(port, int) for port in ports), (variant, ports)


def test_another_configuration_restarts_the_pods():
    def annotations(*given):
        return only(helm("default", *given), "DaemonSet")["spec"]["template"]["metadata"]["annotations"]
    assert annotations() != annotations("config.carbon.pue=1.5")
    assert annotations() == annotations("podMonitor.enabled=true")


def test_the_readme_is_of_these_values():
    script = [sys.executable, REPOSITORY / "deploy/helm/readme.py", "--check"]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
