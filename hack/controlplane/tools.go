//go:build tools

// Package controlplane names the commands that scripts/controlplane builds, so that `go mod tidy` keeps
// every module they need.
package controlplane

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
