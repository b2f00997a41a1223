package renderer_test

import (
	"os"
	"runtime/debug"
	"testing"
)

// TestMain: hundreds of renders make little but garbage, as the command's one
// does, which collects it as rarely.
func TestMain(m *testing.M) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	os.Exit(m.Run())
}
