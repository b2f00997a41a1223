package harness

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// S3Server is a real S3 server. A bucket is a folder below Dir, an object a file.
type S3Server struct {
	*Server
	Endpoint, AccessKey, SecretKey string
	// Dir holds the buckets.
	Dir string
	// CAPem is the CA of its certificate; "" for one without TLS.
	CAPem string
}

// S3 starts an S3 server with TLS, with these buckets.
func S3(t testing.TB, buckets ...string) *S3Server {
	t.Helper()
	return startS3(t, NewCA(t), buckets)
}

// PlainS3 starts one without TLS.
func PlainS3(t testing.TB, buckets ...string) *S3Server {
	t.Helper()
	return startS3(t, nil, buckets)
}

func startS3(t testing.TB, ca *CA, buckets []string) *S3Server {
	t.Helper()
	port := Port(t)
	s := &S3Server{
		// A key of its own: no source may be opened by the backup's.
		AccessKey: fmt.Sprintf("e2e-access-key-%d", port), SecretKey: "e2e-secret-key-of-the-s3-server", Dir: filepath.Join(Folder(t, 0), "data"),
	}
	if err := os.Mkdir(s.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	argv := []string{"versitygw", "--port", address, "--quiet"}
	s.Endpoint = "http://" + address
	if ca != nil {
		certificate, key := ca.Issue(t, 0)
		argv = append(argv, "--cert", certificate, "--key", key)
		s.Endpoint, s.CAPem = "https://"+address, string(ca.PEM)
	}
	s.Server = Serve(t, "versitygw", append(argv, "posix", s.Dir), ServeOptions{
		Env:   []string{"ROOT_ACCESS_KEY=" + s.AccessKey, "ROOT_SECRET_KEY=" + s.SecretKey, "HOME=/nonexistent"},
		Ready: Listening(address),
	})
	for _, bucket := range buckets {
		s.rclone(t, nil, "mkdir", "s3:"+bucket)
	}
	return s
}

// Put writes an object by S3.
func (s *S3Server) Put(t testing.TB, bucket, key string, data []byte) {
	t.Helper()
	s.rclone(t, data, "rcat", "s3:"+bucket+"/"+key)
}

// Get reads one.
func (s *S3Server) Get(t testing.TB, bucket, key string) []byte {
	t.Helper()
	return s.rclone(t, nil, "cat", "s3:"+bucket+"/"+key)
}

// Rclone runs rclone with the server as the remote "s3:".
func (s *S3Server) Rclone(t testing.TB, arguments ...string) string {
	t.Helper()
	return string(s.rclone(t, nil, arguments...))
}

func (s *S3Server) rclone(t testing.TB, stdin []byte, arguments ...string) []byte {
	t.Helper()
	cmd := exec.Command(Program(t, "rclone"), append([]string{"--config", "/dev/null", "--retries", "1"}, arguments...)...)
	cmd.Env = []string{
		"HOME=/nonexistent", "RCLONE_CONFIG_S3_TYPE=s3", "RCLONE_CONFIG_S3_PROVIDER=Other", "RCLONE_CONFIG_S3_ENDPOINT=" + s.Endpoint,
		"RCLONE_CONFIG_S3_ACCESS_KEY_ID=" + s.AccessKey, "RCLONE_CONFIG_S3_SECRET_ACCESS_KEY=" + s.SecretKey, "RCLONE_CONFIG_S3_FORCE_PATH_STYLE=true",
	}
	if s.CAPem != "" {
		file := filepath.Join(Folder(t, 0), "ca.crt")
		if err := os.WriteFile(file, []byte(s.CAPem), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd.Env = append(cmd.Env, "RCLONE_CA_CERT="+file)
	}
	cmd.Stdin = bytes.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("rclone %s: %v\n%s", strings.Join(arguments, " "), err, stderr.String())
	}
	return stdout.Bytes()
}

// Restic is the section "restic" of credentials for a bucket of the server.
func (s *S3Server) Restic(bucket, prefix string) map[string]any {
	return s.section(bucket, prefix, map[string]any{"password": "e2e-restic-password"})
}

// Crypt is the section "rclone" of credentials for a bucket of the server.
func (s *S3Server) Crypt(bucket, prefix string) map[string]any {
	return s.section(bucket, prefix, map[string]any{"crypt": map[string]any{
		"password": "e2e-crypt-password", "password2": "e2e-crypt-salt", "passwordsAre": "plain",
		"filenameEncryption": "standard", "directoryNameEncryption": true,
	}})
}

func (s *S3Server) section(bucket, prefix string, section map[string]any) map[string]any {
	section["endpoint"], section["bucket"], section["prefix"] = s.Endpoint, bucket, prefix
	section["accessKeyId"], section["secretAccessKey"] = s.AccessKey, s.SecretKey
	section["region"] = "us-east-1"
	if s.CAPem == "" {
		section["plainHttp"] = map[string]any{"reason": "the server of the test has no TLS"}
	} else {
		section["caPem"] = s.CAPem
	}
	return section
}

// Store writes a dump into the unit's rendered repository as K8up does, and makes
// the repository if it is absent.
func (i *Instance) Store(t testing.TB, unit string, dump []byte) {
	t.Helper()
	item := i.Unit(t, unit)
	// Asking for a repository that is not there takes long; init does not.
	if _, err := i.restic(t, unit, nil, "init"); err != nil && !strings.Contains(err.Error(), "already ") {
		t.Fatal(err)
	}
	arguments := []string{"backup", "--stdin", "--stdin-filename", item.Expected[0].Path, "--host", item.Namespace}
	for _, tag := range item.Tags {
		arguments = append(arguments, "--tag", tag)
	}
	if _, err := i.restic(t, unit, dump, arguments...); err != nil {
		t.Fatal(err)
	}
}

// Restic runs restic on the unit's rendered repository, with the environment of
// its restore Job.
func (i *Instance) Restic(t testing.TB, unit string, arguments ...string) string {
	t.Helper()
	out, err := i.restic(t, unit, nil, arguments...)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func (i *Instance) restic(t testing.TB, unit string, stdin []byte, arguments ...string) ([]byte, error) {
	t.Helper()
	cmd := i.ResticCommand(t, unit, arguments...)
	cmd.Stdin = bytes.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("restic %s: %w\n%s", strings.Join(arguments, " "), err, stderr.String())
	}
	return stdout.Bytes(), nil
}

// ResticCommand is restic at a unit's repository, not started yet.
func (i *Instance) ResticCommand(t testing.TB, unit string, arguments ...string) *exec.Cmd {
	t.Helper()
	item := i.Unit(t, unit)
	repository, ok := i.Plan.Repositories[item.Repository]
	if !ok {
		t.Fatalf("%s has no restic repository", unit)
	}
	secret, err := i.data("Secret", repository.Namespace, repository.Secret)
	if err != nil || secret == nil {
		t.Fatalf("the tree has no Secret %s: %v", repository.Secret, err)
	}
	work := Folder(t, 0)
	cmd := exec.Command(Program(t, "restic"), arguments...)
	cmd.Env = []string{
		"HOME=" + work, "RESTIC_CACHE_DIR=" + work, "RESTIC_REPOSITORY=" + repository.URL, "AWS_DEFAULT_REGION=" + repository.Region,
		"AWS_ACCESS_KEY_ID=" + secret["access-key-id"], "AWS_SECRET_ACCESS_KEY=" + secret["secret-access-key"], "RESTIC_PASSWORD=" + secret["password"],
	}
	if repository.CA != "" {
		ca, err := i.data("ConfigMap", repository.Namespace, repository.CA)
		file := filepath.Join(work, "ca.crt")
		if err == nil {
			err = os.WriteFile(file, []byte(ca["ca.crt"]), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		cmd.Env = append(cmd.Env, "RESTIC_CACERT="+file)
	}
	return cmd
}
