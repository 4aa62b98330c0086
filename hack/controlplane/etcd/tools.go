//go:build tools

// Package etcd names the command that scripts/controlplane builds, so that `go mod tidy` keeps every
// module it needs.
package etcd

import _ "go.etcd.io/etcd/server/v3"
