package main

import (
	"fmt"
	"time"

	"github.com/holdfast-backup/holdfast/renderer"
)

// soon is how long before keys end a command begins to warn.
const soon = 30 * 24 * time.Hour

// warnExpiry says which keys have ended, or will soon. The tree does not depend
// on a clock, so the core has none: only the command can say it.
func warnExpiry(c console, planned []renderer.Planned) {
	now := time.Now()
	for _, p := range planned {
		for _, e := range p.Plan.Expiring() {
			if text := expiryText(now, time.Unix(e.Unix, 0), e.At); text != "" {
				c.note("holdfast: warning: %s:%d:%d: %s: %s", e.File, e.Line, e.Column, e.Pointer, text)
			}
		}
	}
}

// expiryText is empty for keys that last.
func expiryText(now, end time.Time, at string) string {
	switch left := end.Sub(now); {
	case left <= 0:
		return "the keys ended at " + at + ": backups with them fail"
	case left < soon:
		return fmt.Sprintf("the keys end at %s, in %s: make new ones", at, count(int(left/(24*time.Hour)), "day", "days"))
	}
	return ""
}
