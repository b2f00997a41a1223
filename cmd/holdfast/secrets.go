package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/secrets"
)

// secretOptions says what becomes of Secrets.
type secretOptions struct {
	given                   secretsMode
	sopsConfig, certificate onePath
}

func (o *secretOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.GenericFlag{Name: "secrets", Value: &o.given,
			Usage: "`MODE` of Secrets: sops encrypts them for Flux, sealed for the Sealed Secrets controller, external refers to a store, plain leaves them readable, omit leaves them out; by default sops in a tree and omit in a stream"},
		&cli.GenericFlag{Name: "sops-config", Value: &o.sopsConfig,
			Usage: "`FILE` .sops.yaml whose rules say for whom sops encrypts; by default the credentials do"},
		&cli.GenericFlag{Name: "sealed-cert", Value: &o.certificate,
			Usage: "`FILE` with the certificate of the Sealed Secrets controller, as kubeseal --fetch-cert prints it"},
	}
}

// secretsMode is the value of --secrets.
type secretsMode struct {
	name string
	mode secrets.Mode
}

// Set implements cli.Generic.
func (m *secretsMode) Set(value string) error {
	mode, known := secrets.ParseMode(value)
	switch {
	case m.name != "" && m.name != value:
		return fmt.Errorf("the option is given twice")
	case !known:
		return fmt.Errorf("expected one of %s", strings.Join(secrets.Modes(), ", "))
	}
	m.name, m.mode = value, mode
	return nil
}

// String implements cli.Generic.
func (m *secretsMode) String() string { return m.name }

// secrets decides the mode and reads what it needs. dir is the tree that is written
// or compared, "" if there is none; stream says that the objects go to stdout.
//
// A tree is for Git, so its Secrets are encrypted unless somebody asks for
// something else. A stream is for kubectl, which decrypts nothing.
func (o *secretOptions) secrets(in *renderer.Inputs, dir string, stream bool) (secrets.Mode, error) {
	mode := o.given.mode
	if o.given.name == "" && !stream {
		mode = secrets.SOPS
	}
	switch {
	case stream && mode == secrets.SOPS:
		return mode, usageError{"--secrets sops needs a tree: nothing that reads a stream decrypts it", "give --out, or --secrets plain for a pipe to kubectl"}
	case o.sopsConfig.value != "" && mode != secrets.SOPS:
		return mode, usageError{"--sops-config is for --secrets sops only", ""}
	case o.sopsConfig.value != "" && dir == "":
		return mode, usageError{"--sops-config needs a tree: its rules go by where the files are", "give --against"}
	case o.certificate.value != "" && mode != secrets.Sealed:
		return mode, usageError{"--sealed-cert is for --secrets sealed only", ""}
	case o.certificate.value == "" && mode == secrets.Sealed:
		return mode, usageError{"--secrets sealed needs --sealed-cert", "kubeseal --fetch-cert prints the controller's certificate"}
	}
	r := reader{used: true} // stdin is for the inputs
	if name := o.sopsConfig.value; name != "" {
		document, err := r.document(name)
		if err != nil {
			return mode, err
		}
		in.SOPSConfig = &document
		if in.TreePath, err = below(name, dir); err != nil {
			return mode, err
		}
	}
	if name := o.certificate.value; name != "" {
		document, err := r.document(name)
		if err != nil {
			return mode, err
		}
		in.Certificate = &document
	}
	return mode, nil
}

// below returns where the tree in dir is, relative to the folder of a
// .sops.yaml: sops takes its rules for files there and below.
func below(config, dir string) (string, error) {
	from, err := filepath.Abs(filepath.Dir(config))
	if err != nil {
		return "", outside(err)
	}
	to, err := filepath.Abs(dir)
	if err != nil {
		return "", outside(err)
	}
	path, err := filepath.Rel(from, to)
	if err != nil || path == ".." || strings.HasPrefix(path, ".."+string(filepath.Separator)) {
		return "", usageError{fmt.Sprintf("--sops-config %s: the tree %s is not below its folder, and sops would not use it there", config, dir), ""}
	}
	return filepath.ToSlash(path), nil
}
