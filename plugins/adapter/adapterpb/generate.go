// Package adapterpb is the wire format between the daemon and its plugins,
// made from adapter.proto. Plugins in Go use package adapter instead.
package adapterpb

// `go generate ./plugins/adapter/adapterpb` needs protoc, in Debian's package
// protobuf-compiler. Its plugins are tools of go.mod.
//
//go:generate sh -c "cd ../../.. && protoc --plugin=protoc-gen-go=$(go tool -n protoc-gen-go) --plugin=protoc-gen-go-grpc=$(go tool -n protoc-gen-go-grpc) --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative plugins/adapter/adapterpb/adapter.proto"
