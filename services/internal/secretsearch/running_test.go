package secretsearch_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/mailwright/mailwright/services/internal/secretsearch"
)

// TestFilesThatGoMeanwhileAreLeftOut: NATS replaces its files by temporary ones all the time.
func TestFilesThatGoMeanwhileAreLeftOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			file := filepath.Join(dir, fmt.Sprint(i%64))
			_ = os.WriteFile(file, []byte("x"), 0o600)
			_ = os.Remove(file)
		}
	})
	for range 300 {
		if _, err := secretsearch.Files(dir, "x"); err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	writer.Wait()
}
