package main

import (
	"testing"
	"time"
)

func TestExpiryText(t *testing.T) {
	now := time.Date(2026, 6, 3, 4, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		after time.Duration
		want  string
	}{
		{-time.Hour, "the keys ended at X: backups with them fail"},
		{0, "the keys ended at X: backups with them fail"},
		{25 * time.Hour, "the keys end at X, in 1 day: make new ones"},
		{29 * 24 * time.Hour, "the keys end at X, in 29 days: make new ones"},
		{31 * 24 * time.Hour, ""},
	} {
		if got := expiryText(now, now.Add(test.after), "X"); got != test.want {
			t.Errorf("after %s: %q, want %q", test.after, got, test.want)
		}
	}
}
