{{- define "wattprint.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "wattprint.fullname" -}}
{{- $name := include "wattprint.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "wattprint.selector" -}}
app.kubernetes.io/name: {{ include "wattprint.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "wattprint.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "wattprint.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/part-of: wattprint
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "wattprint.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "wattprint.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "wattprint.relayServiceAccountName" -}}
{{- if .Values.relay.serviceAccountName -}}
{{- .Values.relay.serviceAccountName -}}
{{- else if .Values.serviceAccount.create -}}
{{- include "wattprint.fullname" . }}-relay
{{- else -}}
default
{{- end -}}
{{- end -}}

{{/* Who the pods are that need no right. OpenShift gives each namespace uids of its own and refuses others. */}}
{{- define "wattprint.nonRoot" -}}
{{- if not .Values.openshift.enabled -}}
runAsUser: 65532
runAsGroup: 65532
{{ end -}}
runAsNonRoot: true
{{- end -}}

{{- define "wattprint.image" -}}
{{- with .Values.image -}}
{{- .repository }}{{ with .digest }}@{{ . }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* What the daemon is started with, one argument a line. */}}
{{- define "wattprint.arguments" -}}
{{- $arguments := list "--config.file=/etc/wattprint/config.toml" (printf "--web.listen-address=:%d" (int .Values.port))
  "--path.sysfs=/host/sys" "--path.procfs=/host/proc" "--path.rootfs=/host" -}}
{{- if not .Values.gpu.nvidia.enabled -}}
{{- $arguments = append $arguments "--no-collector.nvml" -}}
{{- else if .Values.gpu.nvidia.libraryDir -}}
{{- $arguments = append $arguments "--nvml.library=/usr/local/nvidia/lib64/libnvidia-ml.so.1" -}}
{{- end -}}
{{- concat $arguments .Values.extraArgs | join "\n" -}}
{{- end -}}

{{/* Who tells the names of pods: auto, api, kubelet, files, or none where the collector is off. */}}
{{- define "wattprint.podSource" -}}
{{- if has "--no-collector.kubernetes" .Values.extraArgs -}}
none
{{- else if eq (dig "collector" "kubernetes" true .Values.config) false -}}
none
{{- else -}}
{{- dig "kubernetes" "source" "auto" .Values.config -}}
{{- end -}}
{{- end -}}

{{/* The rules of the ClusterRole; nothing where nothing must be asked. */}}
{{- define "wattprint.rbacRules" -}}
{{- $source := include "wattprint.podSource" . -}}
{{- if has $source (list "auto" "api") -}}
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
{{- else if eq $source "kubelet" -}}
- apiGroups: [""]
  resources: [{{ .Values.rbac.kubeletResource }}]
  verbs: [get]
{{- end -}}
{{- end -}}

{{/* Makes whole numbers of a map whole: YAML's are floats to Helm, and TOML tells 40.0 from 40. */}}
{{- define "wattprint.whole" -}}
{{- $map := . -}}
{{- range $key, $value := $map -}}
{{- if kindIs "map" $value -}}
{{- include "wattprint.whole" $value -}}
{{- else if kindIs "slice" $value -}}
{{- range $value }}{{ if kindIs "map" . }}{{ include "wattprint.whole" . }}{{ end }}{{ end -}}
{{- else if kindIs "float64" $value -}}
{{- if eq (floor $value) $value }}{{ $_ := set $map $key (int64 $value) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "wattprint.toml" -}}
{{- $config := deepCopy . -}}
{{- include "wattprint.whole" $config -}}
{{- toToml $config -}}
{{- end -}}

{{/* The node's configuration: with a relay it is the only source of grid data. */}}
{{- define "wattprint.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if .Values.relay.enabled -}}
{{- $source := dict "provider" "relay" "url" (printf "http://%s-relay.%s:%d" (include "wattprint.fullname" .) .Release.Namespace (int .Values.port)) -}}
{{- with .Values.relay.basis }}{{ $_ := set $source "basis" . }}{{ end -}}
{{- $carbon := merge (dict "source" (list $source)) (default dict (get $config "carbon")) -}}
{{- $_ := set $config "carbon" $carbon -}}
{{- end -}}
{{- include "wattprint.toml" $config -}}
{{- end -}}

{{/*
Directories of the node that are seen at the same place below /host, one a line. Of containerd's state that of the bundles alone:
beside it lies its socket, which would be as good as root for uid 0.
*/}}
{{- define "wattprint.hostDirectories" -}}
{{- $known := dict
  "containerd" (list "/run/containerd/io.containerd.runtime.v2.task")
  "k3s" (list "/run/k3s/containerd/io.containerd.runtime.v2.task")
  "k0s" (list "/run/k0s/containerd/io.containerd.runtime.v2.task")
  "microk8s" (list "/var/snap/microk8s/common/run/containerd/io.containerd.runtime.v2.task")
  "docker" (list "/var/lib/docker/containers" "/run/docker/containerd/daemon/io.containerd.runtime.v2.task")
  "storage" (list "/var/lib/containers/storage" "/run/containers/storage") -}}
{{- $paths := list (include "wattprint.podResources" .) -}}
{{- range .Values.host.runtimes }}{{ $paths = concat $paths (get $known .) }}{{ end -}}
{{- if eq (include "wattprint.podSource" .) "files" }}{{ $paths = concat $paths (list "/var/log/pods" "/var/log/containers") }}{{ end -}}
{{- range .Values.host.extraDirectories }}{{ $paths = append $paths (trimSuffix "/" .) }}{{ end -}}
{{- uniq $paths | join "\n" -}}
{{- end -}}

{{/* The kubelet's directory with its socket, on the node. */}}
{{- define "wattprint.podResources" -}}
{{- trimSuffix "/" .Values.host.kubeletDir }}/pod-resources
{{- end -}}

{{/* A volume's name from its path. */}}
{{- define "wattprint.volumeName" -}}
{{- $plain := regexReplaceAll "[^a-z0-9]+" (lower .) "-" | trimAll "-" -}}
{{- if gt (len $plain) 54 -}}
{{- printf "host-%s-%s" ($plain | trunc 40 | trimSuffix "-") (sha256sum . | trunc 8) -}}
{{- else -}}
host-{{ $plain }}
{{- end -}}
{{- end -}}

{{/* What scrapes must set: the node as instance, and none of the labels that wattprint's own series have. */}}
{{- define "wattprint.relabelings" -}}
- sourceLabels: [__meta_kubernetes_pod_node_name]
  targetLabel: instance
{{- with .cluster }}
- targetLabel: cluster
  replacement: {{ . | quote }}
{{- end }}
- regex: namespace|pod|container|service|endpoint
  action: labeldrop
{{- with .relabelings }}
{{ toYaml . }}
{{- end }}
{{- end -}}
