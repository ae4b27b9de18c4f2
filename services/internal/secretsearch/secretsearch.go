// Package secretsearch searches what a running system has written for secrets: every byte of its
// files, and of the traces that it sends. Tests use it.
package secretsearch

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Found says where texts stand.
type Found struct {
	// In holds the files with each text, by their paths below the folder; none where there is none.
	In map[string][]string
	// Files and Bytes are how much was searched.
	Files int
	Bytes int64
}

// forms are those in which programs write a text: as it is, in base64, in hexadecimal, in UTF-16.
// Compressed or encrypted it is not found.
func forms(text string) [][]byte {
	return [][]byte{
		[]byte(text), []byte(base64.StdEncoding.EncodeToString([]byte(text))), []byte(hex.EncodeToString([]byte(text))), []byte(strings.Join(strings.Split(text, ""), "\x00")),
	}
}

// Files searches every file below a folder for texts. A running system removes files meanwhile:
// those are left out, so the search that counts is made after its end.
func Files(dir string, texts ...string) (Found, error) {
	found := Found{In: map[string][]string{}}
	searched := map[string][][]byte{}
	for _, text := range texts {
		searched[text] = forms(text)
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path != dir {
			return nil
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path) // #nosec G304 G122 -- a test's own folder
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		found.Files++
		found.Bytes += int64(len(raw))
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		for text, forms := range searched {
			if holds(raw, forms) {
				found.In[text] = append(found.In[text], name)
			}
		}
		return nil
	})
	if err != nil {
		return Found{}, fmt.Errorf("search %s: %w", dir, err)
	}
	return found, nil
}

func holds(raw []byte, forms [][]byte) bool {
	for _, form := range forms {
		if bytes.Contains(raw, form) {
			return true
		}
	}
	return false
}
