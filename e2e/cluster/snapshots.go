package cluster

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-backup/holdfast/renderer/plan"
)

// Found is one snapshot or copy as its repository itself shows it.
type Found struct {
	ID       string
	Time     time.Time
	Path     string
	Host     string
	Tags     []string
	Bytes    int64
	Files    int64
	Missing  string // what of the expectation it does not meet; "" for nothing
	Expected plan.Expected
	Unit     string
}

// restic runs restic on one of the plan's repositories, as nobody in the
// cluster: with the credentials of the input.
func (c *Cluster) restic(p *plan.Plan, repository string, credentials Credentials, arguments ...string) (string, error) {
	cmd, err := c.resticCommand(p, repository, credentials, arguments...)
	if err != nil {
		return "", err
	}
	return output(cmd)
}

func (c *Cluster) resticCommand(p *plan.Plan, repository string, credentials Credentials, arguments ...string) (*exec.Cmd, error) {
	r, ok := p.Repositories[repository]
	if !ok {
		return nil, fmt.Errorf("the plan has no repository %s", repository)
	}
	url, err := c.outside(r.URL)
	if err != nil {
		return nil, err
	}
	// Whoever holds the repository's lock may be slow.
	return c.command(credentials.restic(url, r.Region), append([]string{"restic", "--no-cache", "--retry-lock=5m"}, arguments...)...)
}

// outside names the storage as the node reaches it, where there is no DNS.
func (c *Cluster) outside(url string) (string, error) {
	m := service.FindStringSubmatch(url)
	if m == nil {
		return url, nil
	}
	address, err := c.Control.TryKubectl("get", "service", m[1], "--namespace="+m[2], "--output=jsonpath={.spec.clusterIP}")
	return strings.Replace(url, m[0], address, 1), err
}

// service is a Service's name in a URL.
var service = regexp.MustCompile(`([a-z0-9-]+)\.([a-z0-9-]+)\.svc\.cluster\.local`)

// Credentials are those that open an instance's copies, as the input says them.
type Credentials struct {
	InstanceID string
	Restic     struct {
		Bucket, AccessKeyID, SecretAccessKey, Password string
	}
	Rclone struct {
		Bucket, AccessKeyID, SecretAccessKey string
		Crypt                                struct {
			Password, Password2, FilenameEncoding string
		}
	}
}

// ReadCredentials reads a backup-credentials.json.
func ReadCredentials(file string) (Credentials, error) {
	var c Credentials
	data, err := os.ReadFile(file)
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(data, &c)
}

func (c Credentials) restic(url, region string) []string {
	return []string{
		"RESTIC_REPOSITORY=" + url, "RESTIC_PASSWORD=" + c.Restic.Password, "AWS_DEFAULT_REGION=" + region,
		"AWS_ACCESS_KEY_ID=" + c.Restic.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + c.Restic.SecretAccessKey,
	}
}

// Snapshots lists what a repository holds.
func (c *Cluster) Snapshots(p *plan.Plan, repository string, credentials Credentials) ([]Found, error) {
	out, err := c.restic(p, repository, credentials, "snapshots", "--no-lock", "--json")
	if err != nil {
		return nil, err
	}
	var list []struct {
		ID       string
		Time     time.Time
		Paths    []string
		Hostname string
		Tags     []string
		Summary  struct {
			Bytes int64 `json:"total_bytes_processed"`
			Files int64 `json:"total_files_processed"`
		}
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		return nil, err
	}
	var found []Found
	for _, s := range list {
		found = append(found, Found{ID: s.ID, Time: s.Time, Path: strings.Join(s.Paths, " "), Host: s.Hostname, Tags: s.Tags, Bytes: s.Summary.Bytes, Files: s.Summary.Files})
	}
	return found, nil
}

// Check runs restic's own check of a repository, with all its data.
func (d *Desk) Check(p *plan.Plan, repository string, credentials Credentials) error {
	_, err := d.restic(p, repository, credentials, "check", "--read-data")
	return err
}

// Round holds what the repositories hold against what the plan expects, one by
// one: each expected snapshot is there, newer than since, not below its floor,
// with its marker, and the only one of its path in the plan.
func (d *Desk) Round(p *plan.Plan, credentials Credentials, since time.Time) ([]Found, error) {
	repositories := map[string][]Found{}
	for id := range p.Repositories {
		list, err := d.Snapshots(p, id, credentials)
		if err != nil && !strings.Contains(err.Error(), "unable to open config file") {
			return nil, err
		}
		repositories[id] = list
	}
	var round []Found
	places := map[string]string{}
	for _, unit := range p.Units {
		for _, expected := range unit.Expected {
			f := Found{Expected: expected, Unit: unit.ID}
			place := expected.Where + " " + expected.Host + " " + expected.Path
			if other, taken := places[place]; taken {
				return nil, fmt.Errorf("%s and %s expect the same snapshot %s", other, unit.ID, place)
			}
			places[place] = unit.ID
			var err error
			if expected.Engine == "restic" {
				err = d.snapshot(p, unit.Repository, credentials, repositories[unit.Repository], since, &f)
			} else {
				err = d.copied(credentials, since, &f)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", unit.ID, err)
			}
			round = append(round, f)
		}
	}
	return round, nil
}

// snapshot finds the newest snapshot that an expectation means.
func (c *Cluster) snapshot(p *plan.Plan, repository string, credentials Credentials, all []Found, since time.Time, f *Found) error {
	newest := -1
	for i, s := range all {
		if s.Path == f.Expected.Path && s.Host == f.Expected.Host && slices.Contains(s.Tags, f.Expected.Tag) && (newest < 0 || s.Time.After(all[newest].Time)) {
			newest = i
		}
	}
	if newest < 0 {
		f.Missing = "absent"
		return nil
	}
	expected, unit := f.Expected, f.Unit
	*f = all[newest]
	f.Expected, f.Unit = expected, unit
	switch {
	case f.Time.Before(since):
		f.Missing = "only an older one, of " + f.Time.UTC().Format(time.TimeOnly)
	case f.Bytes < expected.MinBytes:
		f.Missing = fmt.Sprintf("%d bytes, fewer than %d", f.Bytes, expected.MinBytes)
	case strings.HasPrefix(f.Path, "/data/"): // a volume, which K8up mounts there
		if f.Files < expected.MinCount {
			f.Missing = fmt.Sprintf("%d files, fewer than %d", f.Files, expected.MinCount)
		}
	default: // a dump; its own script has counted what is in it
		text, err := c.restic(p, repository, credentials, "dump", "--no-lock", f.ID, f.Path)
		if err != nil {
			return err
		}
		if int64(len(text)) != f.Bytes {
			f.Missing = fmt.Sprintf("%d bytes can be read of %d", len(text), f.Bytes)
		} else if !strings.Contains(text, expected.Marker) {
			f.Missing = "no marker in it"
		}
	}
	return nil
}

// copied compares a bucket's copy with the bucket, byte for byte, through the
// encryption, and takes the time at which the storage got its newest object.
func (d *Desk) copied(c Credentials, since time.Time, f *Found) error {
	obscure := func(password string) (string, error) {
		out, err := d.Run(nil, "rclone", "--config", "/dev/null", "obscure", password)
		return strings.TrimSpace(out), err
	}
	password, err := obscure(c.Rclone.Crypt.Password)
	if err != nil {
		return err
	}
	salt, err := obscure(c.Rclone.Crypt.Password2)
	if err != nil {
		return err
	}
	environment := []string{
		"RCLONE_CONFIG_APP_TYPE=s3", "RCLONE_CONFIG_APP_PROVIDER=Other", "RCLONE_CONFIG_APP_ENDPOINT=" + d.objects, "RCLONE_CONFIG_APP_FORCE_PATH_STYLE=true",
		"RCLONE_CONFIG_APP_ACCESS_KEY_ID=root", "RCLONE_CONFIG_APP_SECRET_ACCESS_KEY=" + Root,
		"RCLONE_CONFIG_BAK_TYPE=s3", "RCLONE_CONFIG_BAK_PROVIDER=Other", "RCLONE_CONFIG_BAK_ENDPOINT=" + d.storage, "RCLONE_CONFIG_BAK_FORCE_PATH_STYLE=true",
		"RCLONE_CONFIG_BAK_ACCESS_KEY_ID=" + c.Rclone.AccessKeyID, "RCLONE_CONFIG_BAK_SECRET_ACCESS_KEY=" + c.Rclone.SecretAccessKey,
		"RCLONE_CONFIG_ENC_TYPE=crypt", "RCLONE_CONFIG_ENC_REMOTE=bak:" + f.Expected.Where, "RCLONE_CONFIG_ENC_PASSWORD=" + password, "RCLONE_CONFIG_ENC_PASSWORD2=" + salt,
		"RCLONE_CONFIG_ENC_FILENAME_ENCODING=" + c.Rclone.Crypt.FilenameEncoding,
	}
	rclone := func(arguments ...string) (string, error) {
		return d.Run(environment, append([]string{"rclone", "--config", "/dev/null", "--retries", "1"}, arguments...)...)
	}
	out, err := rclone("lsjson", "--recursive", "--files-only", "--use-server-modtime", "enc:current")
	if err != nil {
		if strings.Contains(err.Error(), "directory not found") {
			f.Missing = "absent"
			return nil
		}
		return err
	}
	var objects []struct {
		Size    int64
		ModTime time.Time
	}
	if err := json.Unmarshal([]byte(out), &objects); err != nil {
		return err
	}
	f.Path = f.Expected.Where
	for _, o := range objects {
		f.Files++
		f.Bytes += o.Size
		if o.ModTime.After(f.Time) {
			f.Time = o.ModTime
		}
	}
	switch {
	case f.Files < f.Expected.MinCount:
		f.Missing = fmt.Sprintf("%d objects, fewer than %d", f.Files, f.Expected.MinCount)
	// The storage tells time in whole seconds.
	case f.Time.Before(since.Truncate(time.Second)):
		f.Missing = "only an older one, of " + f.Time.UTC().Format(time.TimeOnly)
	default:
		if _, err := rclone("cryptcheck", "app:desk-files", "enc:current"); err != nil {
			f.Missing = "another content than the bucket's: " + lastLine(err.Error())
		}
	}
	return nil
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}
