package secretsearch_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mailwright/mailwright/services/internal/secretsearch"
)

func TestFilesFindsATextInEachForm(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write([]byte("Zebra-Pass-1")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"plain": "…Zebra-Pass-1…", "nested/base64": "WmVicmEtUGFzcy0x", "hexadecimal": "5a656272612d506173732d31", "utf16": "Z\x00e\x00b\x00r\x00a\x00-\x00P\x00a\x00s\x00s\x00-\x001\x00",
		"other": "Zebra-Pass-2", "gzip": packed.String(),
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found, err := secretsearch.Files(dir, "Zebra-Pass-1", "Zebra-Pass-3")
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(found.In, found.Files); got != "map[Zebra-Pass-1:[hexadecimal nested/base64 plain utf16]] 6" || found.Bytes < 100 {
		t.Errorf("found %s in %d bytes", got, found.Bytes)
	}
	if _, err := secretsearch.Files(filepath.Join(dir, "nowhere"), "x"); err == nil {
		t.Error("a folder that is not there was searched")
	}
}

func TestACollectorKeepsWhatItIsSent(t *testing.T) {
	t.Parallel()
	c := secretsearch.NewCollector()
	defer c.Close()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.URL()+"/v1/traces", strings.NewReader("\x0aZebra-Pass-1"))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if !strings.Contains(c.Text(), "Zebra-Pass-1") {
		t.Errorf("it keeps %q", c.Text())
	}
}
