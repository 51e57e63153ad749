{{/* What all pods have in common. */}}

{{/* The user's keys win over these; all of them together meet the Pod Security level `restricted`. */}}
{{- define "flowscale.podSecurityContext" -}}
{{- $id := default 10001 .id -}}
{{- $own := dict "runAsNonRoot" true "runAsUser" $id "runAsGroup" $id "fsGroup" $id "fsGroupChangePolicy" "OnRootMismatch" "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- toYaml (mergeOverwrite $own (deepCopy .values.podSecurityContext)) -}}
{{- end -}}

{{- define "flowscale.securityContext" -}}
{{- $own := dict "allowPrivilegeEscalation" false "readOnlyRootFilesystem" true "capabilities" (dict "drop" (list "ALL")) -}}
{{- toYaml (mergeOverwrite $own (deepCopy .values.securityContext)) -}}
{{- end -}}

{{/*
The part of a pod's spec that is the same for every component. `token`: whether the API server is spoken to.
No service links: they would put a variable for each Service of the namespace into the environment, some of which begin
like settings of FlowScale.
*/}}
{{- define "flowscale.podSpec" -}}
serviceAccountName: {{ include "flowscale.serviceAccountName" . | quote }}
automountServiceAccountToken: {{ default false .token }}
enableServiceLinks: false
{{- include "flowscale.imagePullSecrets" .root }}
securityContext:
  {{- include "flowscale.podSecurityContext" . | nindent 2 }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "flowscale.affinity" . }}
affinity:
  {{- . | nindent 2 }}
{{- end }}
{{- with include "flowscale.topologySpread" . }}
topologySpreadConstraints:
  {{- . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .values.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- end -}}

{{/*
A volume that only one node can mount keeps every pod that shares it on one node. The label they carry attracts each to
the others; the first of all may go anywhere, since a pod that matches its own rule needs no other before it. So a
rollout brings new pods to the node of the old ones, and nothing is fixed to a node by name.
*/}}
{{- define "flowscale.affinity" -}}
{{- $affinity := deepCopy (default dict .values.affinity) -}}
{{- if and (eq (include "flowscale.sharesNode" .root) "true") (has .component (list "api" "worker")) -}}
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" (dict "flowscale.dev/shares-volume" (include "flowscale.volumeGroup" .root))) -}}
{{- $pods := default dict $affinity.podAffinity -}}
{{- $required := append (default list $pods.requiredDuringSchedulingIgnoredDuringExecution) $term -}}
{{- $_ := set $pods "requiredDuringSchedulingIgnoredDuringExecution" $required -}}
{{- $_ := set $affinity "podAffinity" $pods -}}
{{- else if and (eq .component "api") (not $affinity) (not .values.topologySpreadConstraints) -}}
{{/* Not by a second constraint: the scheduler ignores both on nodes that lack the label of one, as those of kind do. */}}
{{- $zone := dict "topologyKey" "topology.kubernetes.io/zone" "labelSelector" (dict "matchLabels" (include "flowscale.selectorLabels" . | fromYaml)) -}}
{{- $preferred := list (dict "weight" 50 "podAffinityTerm" $zone) -}}
{{- $_ := set $affinity "podAntiAffinity" (dict "preferredDuringSchedulingIgnoredDuringExecution" $preferred) -}}
{{- end -}}
{{- if $affinity -}}
{{- toYaml $affinity -}}
{{- end -}}
{{- end -}}

{{- define "flowscale.topologySpread" -}}
{{- if and (eq (include "flowscale.sharesNode" .root) "true") (has .component (list "api" "worker")) -}}
{{- else if .values.topologySpreadConstraints -}}
{{- toYaml .values.topologySpreadConstraints -}}
{{- else if eq .component "api" -}}
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "flowscale.selectorLabels" . | nindent 6 }}
  matchLabelKeys: [pod-template-hash]
{{- end -}}
{{- end -}}

{{/* "true" where uploads and outputs lie on a volume of one node. */}}
{{- define "flowscale.sharesNode" -}}
{{- eq .Values.storage.type "local" -}}
{{- end -}}

{{/* "true" where uploads and outputs lie on a volume at all. */}}
{{- define "flowscale.hasVolume" -}}
{{- has .Values.storage.type (list "local" "nfs") -}}
{{- end -}}

{{/* A ServiceAccount, where the chart makes it. */}}
{{- define "flowscale.serviceAccount" -}}
{{- if .values.serviceAccount.create -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "flowscale.serviceAccountName" . | quote }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "flowscale.labels" . | nindent 4 }}
  {{- with .values.serviceAccount.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end -}}
{{- end -}}

{{/* A PodDisruptionBudget of a component. */}}
{{- define "flowscale.pdb" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "flowscale.componentName" . }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "flowscale.labels" . | nindent 4 }}
spec:
  maxUnavailable: {{ .values.pdb.maxUnavailable }}
  # A pod that is not ready serves nobody: it must not keep a node from being drained.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "flowscale.selectorLabels" . | nindent 6 }}
{{- end -}}
