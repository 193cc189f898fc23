#!/usr/bin/env bash
# Generates proto/generated from the contracts. Needs protoc (Debian: protobuf-compiler). A test runs it and compares.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-proto/generated}
rm -rf "$out"
mkdir -p "$out"
common=esModuleInterop=true,env=node,forceLong=bigint,oneof=unions-value,importSuffix=.ts,useExactTypes=false,stringEnums=false,outputJsonMethods=false,outputPartialMethods=true,removeEnumPrefix=false
generate() { # file, extra options
  protoc --plugin=node_modules/.bin/protoc-gen-ts_proto -I proto --ts_proto_out="$out" --ts_proto_opt="$common$2" "$1"
}
generate cri/runtime/v1/api.proto ,outputServices=grpc-js
generate kubestack/v1/kubestack.proto ,outputServices=grpc-js
generate hyperstart/v1/hyperstart.proto ,outputServices=none
