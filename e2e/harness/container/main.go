// Container becomes the program that the JSON on file descriptor 3 describes.
// The harness starts it in namespaces of its own.
package main

import (
	"fmt"
	"os"

	"github.com/holdfast-backup/holdfast/e2e/harness/sandbox"
)

func main() {
	code, err := sandbox.Enter(os.Args[1:], os.NewFile(3, "spec"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "container:", err)
		// What a runtime exits with when it cannot start a container.
		code = 128
	}
	os.Exit(code)
}
