{{/* Names and labels. A context is the chart's own (`$`), or `dict "root" $ "component" "api"` where a component is meant. */}}

{{- define "flowscale.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* 40 characters leave room for the longest suffix in names of 52, which StatefulSets and their pods may have. */}}
{{- define "flowscale.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "flowscale.componentName" -}}
{{- printf "%s-%s" (include "flowscale.fullname" .root) .component -}}
{{- end -}}

{{- define "flowscale.selectorLabels" -}}
app.kubernetes.io/name: {{ include "flowscale.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Labels of an object. One that belongs to no part has the folder it lies in as its component: storage. */}}
{{- define "flowscale.labels" -}}
{{- $own := fromYaml (include "flowscale.selectorLabels" .) -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- $_ := set $own "app.kubernetes.io/version" (.root.Chart.AppVersion | toString) -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- $_ := set $own "app.kubernetes.io/part-of" "flowscale" -}}
{{- toYaml (mergeOverwrite (deepCopy .root.Values.commonLabels) $own) -}}
{{- end -}}

{{/*
Labels of a pod: those that select it, those of the release, and the user's. The queue's server carries no version: it is
not of ours, and an upgrade of FlowScale must not restart it.
*/}}
{{- define "flowscale.podLabels" -}}
{{- $own := fromYaml (include "flowscale.selectorLabels" .) -}}
{{- if ne .component "redis" -}}
{{- $_ := set $own "app.kubernetes.io/version" (.root.Chart.AppVersion | toString) -}}
{{- end -}}
{{- $_ := set $own "app.kubernetes.io/part-of" "flowscale" -}}
{{- if and (eq (include "flowscale.sharesNode" .root) "true") (has .component (list "api" "worker")) -}}
{{- $_ := set $own "flowscale.dev/shares-volume" (include "flowscale.volumeGroup" .root) -}}
{{- end -}}
{{- $all := mergeOverwrite (dict) (deepCopy .root.Values.commonLabels) (deepCopy .values.podLabels) $own -}}
{{- toYaml $all -}}
{{- end -}}

{{/* Values of a component: `redis` means the bundled server. */}}
{{- define "flowscale.serviceAccountName" -}}
{{- $account := .values.serviceAccount -}}
{{- if $account.create -}}
{{- default (include "flowscale.componentName" .) $account.name -}}
{{- else -}}
{{- default "default" $account.name -}}
{{- end -}}
{{- end -}}

{{- define "flowscale.claimName" -}}
{{- default (printf "%s-files" (include "flowscale.fullname" .)) .Values.storage.persistence.existingClaim -}}
{{- end -}}

{{/* The claim's name as a label's value, which is shorter than names may be. */}}
{{- define "flowscale.volumeGroup" -}}
{{- include "flowscale.claimName" . | trunc 63 | trimAll "-." -}}
{{- end -}}

{{- define "flowscale.adminSecretName" -}}
{{- default (printf "%s-admin" (include "flowscale.fullname" .)) .Values.admin.existingSecret -}}
{{- end -}}

{{- define "flowscale.redisSecretName" -}}
{{- default (printf "%s-redis" (include "flowscale.fullname" .)) .Values.redis.bundled.existingSecret -}}
{{- end -}}
