// The Flux that the tests run against: of it only the definition of GitRepository is used, which is read from the module's
// archive. Nothing is built.
module gitops-reverser/hack/flux

go 1.26.0

require github.com/fluxcd/source-controller v1.9.6
