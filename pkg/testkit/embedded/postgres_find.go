package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

// installed are the directories where packages put their programs, which need not be on the PATH.
var installed = []string{
	"/usr/lib/postgresql/*/bin",          // Debian, Ubuntu, Alpine
	"/usr/pgsql-*/bin",                   // Red Hat, SUSE with PGDG's packages
	"/opt/homebrew/opt/postgresql@*/bin", // macOS on ARM
	"/usr/local/opt/postgresql@*/bin",    // macOS on Intel
	"/Applications/Postgres.app/Contents/Versions/*/bin",
}

// FindPostgres gives the directory with the machine's initdb and postgres, the newest version of
// several: from the places where packages put them, the PATH, or where pg_config says.
func FindPostgres() (string, error) {
	dirs := serverDirs()
	if len(dirs) == 0 {
		return "", errors.New("no Postgres server on this machine: looked in " + strings.Join(installed, ", ") + ", the PATH, and asked pg_config")
	}
	return dirs[0], nil
}

// serverDirs lists every directory with a server, the newest version first.
func serverDirs() []string {
	var dirs []string
	for _, pattern := range installed {
		found, _ := filepath.Glob(pattern)
		slices.SortFunc(found, func(a, b string) int { return number(b) - number(a) })
		dirs = append(dirs, found...)
	}
	dirs = append(dirs, filepath.SplitList(os.Getenv("PATH"))...)
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	return slices.DeleteFunc(dirs, func(dir string) bool { return !hasServer(dir) })
}

// number is the version within a path such as /usr/lib/postgresql/15/bin.
func number(path string) int {
	digits := strings.FieldsFunc(path, func(r rune) bool { return r < '0' || r > '9' })
	if len(digits) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(digits[len(digits)-1])
	return n
}

func hasServer(dir string) bool {
	for _, program := range []string{"initdb", "postgres"} {
		info, err := os.Stat(filepath.Join(dir, program))
		if err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			return false
		}
	}
	return dir != ""
}

// binaries returns the directory of the programs to use for a data directory. If the data exists,
// they have its major version, otherwise they are the newest. If the machine has none, they are
// installed or downloaded.
func binaries(ctx context.Context, dir string, logger *slog.Logger) (string, error) {
	dirs := serverDirs()
	if own := filepath.Join(dir, "postgres", "bin"); hasServer(own) {
		dirs = append(dirs, own)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "data", "PG_VERSION"))
	if err != nil { // no data yet: any version will do
		if len(dirs) > 0 {
			return dirs[0], nil
		}
		return InstallPostgres(ctx, dir, logger)
	}
	version := strings.TrimSpace(string(raw))
	for _, d := range dirs {
		if major(ctx, d) == version {
			return d, nil
		}
	}
	return "", fmt.Errorf("the data in %s are of Postgres %s, which this machine does not have (any more): install that version, or remove the directory and let the projections be built again", dir, version)
}

// major asks a server for its major version, such as "15".
func major(ctx context.Context, dir string) string {
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return ""
	}
	// postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)
	fields := strings.Fields(string(out))
	if len(fields) < 3 {
		return ""
	}
	version, _, _ := strings.Cut(fields[2], ".")
	return version
}

// InstallPostgres installs a server on a machine without one, and returns its directory. As root on
// a machine with apt-get it installs Debian's package, otherwise it downloads binaries into
// dir/postgres. It logs which of them it is about to do.
func InstallPostgres(ctx context.Context, dir string, logger *slog.Logger) (string, error) {
	errInstall := errors.New("not root on a Debian system")
	if apt, err := exec.LookPath("apt-get"); err == nil && os.Geteuid() == 0 {
		logger.Info("no Postgres on this machine: installing the package postgresql with apt-get")
		if errInstall = installOnce(ctx, apt); errInstall == nil {
			return FindPostgres()
		}
	}
	logger.Info("no Postgres on this machine: downloading one", "from", "repo1.maven.org", "to", filepath.Join(dir, "postgres"))
	bin, errDownload := download(dir)
	if errDownload == nil {
		return bin, nil
	}
	return "", fmt.Errorf("there is no Postgres server on this machine, and none could be had (package: %w; download: %w): "+
		"install one (`apt-get install postgresql`, `dnf install postgresql-server`, `brew install postgresql@17`), "+
		"or use one that runs elsewhere by its URL (--database-url, DATABASE_URL)", errInstall, errDownload)
}

// dpkgDir is locked during an installation, by this package and by scripts/apt.
const dpkgDir = "/var/lib/dpkg"

// installOnce installs the package unless another process of ours has done so meanwhile: the suites
// start side by side.
func installOnce(ctx context.Context, apt string) error {
	unlock, err := lock(ctx, dpkgDir)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := FindPostgres(); err == nil {
		return nil
	}
	restore, err := noCluster(clusterSettings)
	if err != nil {
		return err
	}
	defer restore()
	return aptInstall(ctx, apt)
}

// lock waits until this process alone holds a directory.
func lock(ctx context.Context, dir string) (unlock func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for {
		switch err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
		case err == nil:
			return func() { _ = d.Close() }, nil
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), d.Close())
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), d.Close())
		}
	}
}

// clusterSettings is where pg_createcluster(1) looks for settings beside its own file.
const clusterSettings = "/etc/postgresql-common/createcluster.d"

// noCluster keeps Debian's package from making a server of its own, which would take port 5432,
// until restore is called.
func noCluster(dir string) (restore func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "mailwright.conf")
	return func() { _ = os.Remove(file) }, os.WriteFile(file, []byte("create_main_cluster = false\n"), 0o644) //nolint:gosec // the package's scripts read it, as whoever
}

// aptInstall installs from the lists of packages that are there, and fetches them where that fails.
func aptInstall(ctx context.Context, apt string) error {
	// Another installation may be under way.
	patiently := []string{"-o", "DPkg::Lock::Timeout=120"}
	install := func() error {
		return run(ctx, apt, append(patiently, "install", "--yes", "--no-install-recommends", "postgresql")...)
	}
	if install() == nil {
		return nil
	}
	if err := run(ctx, apt, append(patiently, "update")...); err != nil {
		return err
	}
	return install()
}

func run(ctx context.Context, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", filepath.Base(program), strings.Join(args, " "), err, lastLines(out))
	}
	return nil
}

// download has the embedded-postgres library fetch and unpack its binaries. The library can only do
// so on the way to starting a server; that start fails for root, which does not matter here.
func download(dir string) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	home, scratch := filepath.Join(dir, "postgres"), filepath.Join(dir, "scratch")
	defer func() { _ = os.RemoveAll(scratch) }()
	db := embeddedpostgres.NewDatabase(embeddedpostgres.DefaultConfig().
		Port(uint32(port)).BinariesPath(home).RuntimePath(scratch).
		CachePath(filepath.Join(dir, "cache")).Logger(&tail{}))
	startErr := db.Start()
	if startErr == nil {
		_ = db.Stop()
	}
	if bin := filepath.Join(home, "bin"); hasServer(bin) {
		return bin, nil
	}
	return "", startErr
}
