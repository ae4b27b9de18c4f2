package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/services/internal/projector"
)

// recordState writes where the run left its state, and removes that of the run before.
func (o *options) recordState(dir string) error {
	before, err := o.lastState()
	if err == nil {
		err = os.RemoveAll(before)
	} else if errors.Is(err, fs.ErrNotExist) {
		err = os.MkdirAll(filepath.Dir(o.StateFile), 0o755)
	}
	if err != nil {
		return err
	}
	return os.WriteFile(o.StateFile, []byte(dir+"\n"), 0o600)
}

// lastState reads where the last run left its state.
func (o *options) lastState() (string, error) {
	raw, err := os.ReadFile(o.StateFile)
	return strings.TrimSpace(string(raw)), err
}

// exitDifferent is the exit code of `mailwright projection verify` where rows differ.
const exitDifferent = 4

// alterRow gives one operation a state that it never had, and returns its id.
const alterRow = `UPDATE ` + projector.Live + `.operations SET state = 'failed'
	WHERE operation_id = (SELECT min(operation_id) FROM ` + projector.Live + `.operations WHERE state = 'succeeded')
	RETURNING operation_id`

// verifyProjections starts NATS and Postgres on the state of the last run, without any service, and
// runs `mailwright projection` against them.
func (o *options) verifyProjections(ctx context.Context) (err error) {
	o.setBin()
	dir, err := o.lastState()
	if err == nil {
		_, err = os.Stat(dir)
	}
	if err != nil {
		return fmt.Errorf("there is no run to verify, run 'make guarantees' first: %w", err)
	}
	s, err := stack.Start(ctx, stack.Options{
		Dir:         dir,
		Bin:         o.Bin,
		Volatile:    true,
		Permissions: true,
		NoSandbox:   true,
		Services:    []string{},
		Log:         slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	progress("the rows that the last run left")
	if _, err := o.projection(ctx, s, "verify", 0); err != nil {
		return err
	}
	db, err := pgx.Connect(ctx, s.Endpoints.Postgres)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close(ctx) }()
	var id string
	if err := db.QueryRow(ctx, alterRow).Scan(&id); err != nil {
		return fmt.Errorf("alter a row: %w", err)
	}
	progress("the state of operation %s is altered by hand", id)
	found, err := o.projection(ctx, s, "verify", exitDifferent)
	if err != nil {
		return err
	}
	want := fmt.Sprintf(`operations operation_id=%q: changed: state is "failed", replayed "succeeded"`, id)
	if !strings.Contains(found, want) {
		return fmt.Errorf("the altered row is not named as %s", want)
	}
	progress("a rebuild puts it right")
	if _, err := o.projection(ctx, s, "rebuild", 0); err != nil {
		return err
	}
	if _, err := o.projection(ctx, s, "verify", 0); err != nil {
		return err
	}
	fmt.Println("verify-projections: no difference; an altered row was found, named and put right")
	return nil
}

// projection runs `mailwright projection <command>` and returns its output. Another exit code than
// want is an error.
func (o *options) projection(ctx context.Context, s *stack.Stack, command string, want int) (string, error) {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(o.Bin, "mailwright"), "projection", command,
		"--nats-url", s.Endpoints.NATS, "--database-url", s.Endpoints.Postgres)
	cmd.Env = append(os.Environ(), s.IdentityEnv("operator")...)
	cmd.Stdout = io.MultiWriter(os.Stdout, &out)
	cmd.Stderr = os.Stderr
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return "", err
	}
	if code := cmd.ProcessState.ExitCode(); code != want {
		return "", fmt.Errorf("mailwright projection %s ended with %d, want %d", command, code, want)
	}
	return out.String(), nil
}
