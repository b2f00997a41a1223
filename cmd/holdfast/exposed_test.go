package main

import "testing"

// TestHoldsPlaintext: null and what sops encrypted tell nobody anything.
func TestHoldsPlaintext(t *testing.T) {
	const cipher = `"ENC[AES256_GCM,data:YQ==,iv:YQ==,tag:YQ==,type:str]"`
	for text, want := range map[string]bool{
		`{"restic": {"password": "correct horse battery"}}`:                           true,
		`{"restic": {"password": "correct horse battery"`:                             true, // broken
		`{"restic": {"password": ` + cipher + `, "secretAccessKey": "in the clear"}}`: true,
		`{"git": {"renderKey": "73lsVCih2xsl93dEcvtZHM/0tnVnrIYkzgocb/HKCrg="}}`:      true,
		`{"restic": {"password": ` + cipher + `}, "sops": {"mac": ` + cipher + `}}`:   false,
		`{"restic": {"password": null, "secretAccessKey": null, "bucket": "shop"}}`:   false,
		`{"restic": {"passwordRef": {"name": "somewhere"}}}`:                          false,
		`{"restic": {"password": ""}}`:                                                false,
	} {
		if got := holdsPlaintext([]byte(text)); got != want {
			t.Errorf("%s: %t", text, got)
		}
	}
}
