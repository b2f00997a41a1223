// Pack packs a folder into the archive of the image that the cluster's servers
// run: all of them in one.
//
//	pack -root FOLDER -name NAME:TAG -o FILE
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/holdfast-backup/holdfast/e2e/cluster/archive"
)

func main() {
	root := flag.String("root", "", "the `FOLDER` that becomes the root")
	name := flag.String("name", "", "`NAME:TAG` of the image")
	out := flag.String("o", "", "the `FILE` to write")
	flag.Parse()
	if err := archive.Write(*out, archive.Image{
		Root: *root, Names: []string{*name}, Entrypoint: "/usr/local/bin/pause",
		Path: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/15/bin",
	}); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}
