// Command etcd runs the etcd server; etcd keeps its own main package out of reach of importers.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
