// Package archive packs folders into an archive of container images, each with
// one layer, as "ctr images import" reads it.
package archive

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// Image is a folder that becomes an image.
type Image struct {
	// Root is the folder.
	Root string
	// Names are what the image is called, each NAME:TAG.
	Names []string
	// Path is its PATH.
	Path string
	// User is the one that runs its containers where the pod does not say.
	User int64
	// Entrypoint is its own program; "" for none.
	Entrypoint string
}

// Write makes the archive: for each image the layer, and the configuration that
// names the layer by its digest; a list names them all.
func Write(out string, images ...Image) error {
	file, err := os.Create(out)
	if err != nil {
		return err
	}
	defer file.Close()
	to := tar.NewWriter(file)
	var list []any
	for _, image := range images {
		entry, err := image.add(to, filepath.Dir(out))
		if err != nil {
			return err
		}
		list = append(list, entry)
	}
	data, err := json.Marshal(list)
	if err != nil {
		return err
	}
	if err := part(to, "manifest.json", int64(len(data)), bytes.NewReader(data)); err != nil {
		return err
	}
	if err := to.Close(); err != nil {
		return err
	}
	return file.Close()
}

// add adds an image, and returns its entry of the list.
func (i Image) add(to *tar.Writer, work string) (any, error) {
	layer, err := os.CreateTemp(work, "layer")
	if err != nil {
		return nil, err
	}
	defer os.Remove(layer.Name())
	defer layer.Close()
	digest := sha256.New()
	if err := pack(i.Root, io.MultiWriter(layer, digest)); err != nil {
		return nil, err
	}
	sum := hex.EncodeToString(digest.Sum(nil))
	run := map[string]any{"WorkingDir": "/", "Env": []string{"PATH=" + i.Path}, "User": strconv.FormatInt(i.User, 10)}
	if i.Entrypoint != "" {
		run["Entrypoint"] = []string{i.Entrypoint}
	}
	config, err := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux", "config": run,
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + sum}},
	})
	if err != nil {
		return nil, err
	}
	configSum := sha256.Sum256(config)
	name := hex.EncodeToString(configSum[:]) + ".json"
	if err := part(to, name, int64(len(config)), bytes.NewReader(config)); err != nil {
		return nil, err
	}
	size, err := layer.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = layer.Seek(0, io.SeekStart)
	}
	if err == nil {
		err = part(to, sum+"/layer.tar", size, layer)
	}
	return map[string]any{"Config": name, "RepoTags": i.Names, "Layers": []string{sum + "/layer.tar"}}, err
}

// part adds a file to the archive.
func part(to *tar.Writer, name string, size int64, from io.Reader) error {
	err := to.WriteHeader(&tar.Header{Name: name, Size: size, Mode: 0o644, Format: tar.FormatPAX})
	if err == nil {
		_, err = io.Copy(to, from)
	}
	return err
}

// pack writes a folder as a tar stream with numeric owners.
func pack(root string, to io.Writer) error {
	archive := tar.NewWriter(to)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(root, path)
		if err != nil || inside == "." {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		var link string
		if info.Mode()&fs.ModeSymlink != 0 {
			if link, err = os.Readlink(path); err != nil {
				return err
			}
		}
		header, err := tar.FileInfoHeader(info, link)
		if err != nil {
			return err
		}
		header.Name, header.Uname, header.Gname = inside, "", ""
		if entry.IsDir() {
			header.Name += "/"
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			header.Uid, header.Gid = int(stat.Uid), int(stat.Gid)
		}
		header.Format = tar.FormatPAX
		if err := archive.WriteHeader(header); err != nil || !info.Mode().IsRegular() {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		_, err = io.Copy(archive, file)
		return err
	})
	if err != nil {
		return err
	}
	return archive.Close()
}
