{{/*
What each ingress controller must be told so that a form upload of 5 GB and an hour of events pass. (The page and
`flowscale render --url` send their uploads in parts of at most 64 MiB, and events come with a ping each 15 s, so much
of it is for clients of other kinds.) Annotations of the Ingress:

nginx    Its limit of bodies is 1 MiB, it keeps a body on its disk before it passes it on, it keeps answers back, and it
         gives up after 60 s: all four are set.
traefik  None: it has no limit of bodies, and passes events on as they come. But since 2.11.2 and 3.0 an entry point reads one
         request for 60 s at most, which no annotation changes: NOTES say what its own configuration needs.
haproxy  Of HAProxy Technologies. No limit of bodies; a server may be silent for 50 s, which is raised.
alb      Targets are the pods, which spares the second way over a node's port. Idle connections are cut after 60 s: raised,
         to 4000 s at most, which is what AWS allows. It stays internal, as is its default, since the render API
         asks nobody by default (docs/access.md): `alb.ingress.kubernetes.io/scheme: internet-facing` among the annotations opens it.
gke      Nothing on the Ingress: the whole answer may take 30 s, which a BackendConfig raises that the Service names.
contour  Envoy would give up after 15 s without a whole answer: raised. No limit of bodies.
*/}}
{{- define "flowscale.ingress.annotations" -}}
{{- $seconds := int64 .Values.ingress.timeoutSeconds -}}
{{- if eq .Values.ingress.preset "nginx" }}
nginx.ingress.kubernetes.io/proxy-body-size: "0"
nginx.ingress.kubernetes.io/proxy-request-buffering: "off"
nginx.ingress.kubernetes.io/proxy-buffering: "off"
nginx.ingress.kubernetes.io/proxy-http-version: "1.1"
nginx.ingress.kubernetes.io/proxy-read-timeout: {{ $seconds | toString | quote }}
nginx.ingress.kubernetes.io/proxy-send-timeout: {{ $seconds | toString | quote }}
{{- else if eq .Values.ingress.preset "haproxy" }}
haproxy.org/timeout-server: {{ printf "%ds" $seconds }}
{{- else if eq .Values.ingress.preset "alb" }}
alb.ingress.kubernetes.io/target-type: ip
alb.ingress.kubernetes.io/healthcheck-path: /readyz
alb.ingress.kubernetes.io/load-balancer-attributes: idle_timeout.timeout_seconds={{ min $seconds 4000 }}
alb.ingress.kubernetes.io/target-group-attributes: deregistration_delay.timeout_seconds=30
{{- else if eq .Values.ingress.preset "contour" }}
projectcontour.io/response-timeout: {{ printf "%ds" $seconds }}
{{- end }}
{{- end -}}

{{/*
Addresses outside of the cluster from which requests come that the controller passes on: those of Google's front ends, as
its documentation of load balancers names them.
*/}}
{{- define "flowscale.ingress.fronts" -}}
{{- if and .Values.ingress.enabled (eq .Values.ingress.preset "gke") -}}
["35.191.0.0/16", "130.211.0.0/22"]
{{- end -}}
{{- end -}}

{{/* Annotations of the gateway's Service, as a map. */}}
{{- define "flowscale.ingress.serviceAnnotations" -}}
{{- if and .Values.ingress.enabled (eq .Values.ingress.preset "gke") }}
cloud.google.com/neg: '{"ingress": true}'
cloud.google.com/backend-config: {{ dict "default" (include "flowscale.componentName" (dict "root" . "component" "api")) | toJson | quote }}
{{- end }}
{{- end -}}

{{/* The IngressClass; the one of AWS is `alb`, GKE has none that an Ingress must name. */}}
{{- define "flowscale.ingress.class" -}}
{{- if .Values.ingress.className -}}
{{- .Values.ingress.className -}}
{{- else if has .Values.ingress.preset (list "nginx" "traefik" "haproxy" "alb" "contour") -}}
{{- .Values.ingress.preset -}}
{{- end -}}
{{- end -}}
