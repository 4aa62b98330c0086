// The YAML library of kubectl, at the version that the pinned Kubernetes uses: what hack/yamlcheck reads with.
module gitops-reverser/hack/yamlcheck

go 1.26.0

require sigs.k8s.io/yaml v1.6.0

require go.yaml.in/yaml/v2 v2.4.3 // indirect
