package security

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	digest       = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	composeImage = regexp.MustCompile(`(?m)^ +image: (\S+)$`)
	from         = regexp.MustCompile(`(?mi)^FROM (\S+)(?: AS (\S+))?$`)
)

// TestBaseImagesAreListedByDigest: every image of others that docker-compose.yml names stands in
// deploy/images.txt, with a digest or the reason why it has none, and our own images begin from
// nothing.
func TestBaseImagesAreListedByDigest(t *testing.T) {
	t.Parallel()
	compose, listed := read(t, "docker-compose.yml"), read(t, "deploy/images.txt")
	faults, without := baseImages(compose, listed)
	files, err := filepath.Glob(filepath.Join(repository, "deploy", "*", "Dockerfile"))
	if err != nil || len(files) == 0 {
		t.Fatalf("Dockerfiles: %v, %v", files, err)
	}
	for _, file := range append(files, filepath.Join(repository, "deploy", "Dockerfile")) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		faults = append(faults, bases(file, string(text))...)
	}
	report.checked(t, checkBaseImages, fmt.Sprintf("%d images of others, ours and those that we build in their place begin from nothing", len(digests(listed))), faults)
	if len(without) > 0 {
		var reasons []string
		for _, reason := range slices.Sorted(maps.Keys(without)) {
			reasons = append(reasons, fmt.Sprintf("%s have no digest, since %s", strings.Join(without[reason], ", "), reason))
		}
		report.notChecked(t, checkBaseImages, strings.Join(reasons, "; "))
	}

	for broken, c := range map[string][2]string{
		"an image that is not listed":       {compose + "\n  x:\n    image: redis:8\n", listed},
		"a digest that is none":             {compose, strings.Replace(listed, " - ", " sha256:123 ", 1)},
		"no digest, and no reason":          {compose, regexp.MustCompile(`(?m) - .*$`).ReplaceAllString(listed, " -")},
		"a listed image that nothing needs": {compose, listed + "redis:8 - none\n"},
	} {
		found, _ := baseImages(c[0], c[1])
		report.proved(t, checkBaseImages, broken, found)
	}
	report.proved(t, checkBaseImages, "an image that begins from a tag", bases("Dockerfile", "FROM scratch AS base\nFROM base\nFROM debian:12\n"))
}

// digests reads deploy/images.txt: what stands behind the name of each image.
func digests(text string) map[string]string {
	list := map[string]string{}
	for line := range strings.Lines(text) {
		if name, rest, ok := strings.Cut(strings.TrimSpace(line), " "); ok && !strings.HasPrefix(line, "#") {
			list[name] = strings.TrimSpace(rest)
		}
	}
	return list
}

// baseImages compares the images of docker-compose.yml with the list of digests. without are those
// that have none, by the reason.
func baseImages(compose, listed string) (faults []string, without map[string][]string) {
	list, used := digests(listed), map[string]bool{}
	without = map[string][]string{}
	for _, found := range composeImage.FindAllStringSubmatch(compose, -1) {
		if !strings.HasPrefix(found[1], "mailwright/") {
			used[found[1]] = true
		}
	}
	for name := range used {
		if _, ok := list[name]; !ok {
			faults = append(faults, "deploy/images.txt lacks "+name+" of docker-compose.yml")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(list)) {
		set, reason, _ := strings.Cut(list[name], " ")
		switch {
		case !used[name]:
			faults = append(faults, name+" of deploy/images.txt is not in docker-compose.yml")
		case set == "-" && reason != "":
			without[reason] = append(without[reason], name)
		case !digest.MatchString(set):
			faults = append(faults, name+" has no digest of the form sha256:…, and no '-' with a reason: "+list[name])
		}
	}
	return faults, without
}

// bases are the images from which a Dockerfile begins, save stages of its own and nothing.
func bases(file, text string) (faults []string) {
	own := map[string]bool{"scratch": true}
	for _, line := range from.FindAllStringSubmatch(text, -1) {
		if !own[line[1]] && !strings.Contains(line[1], "@sha256:") {
			faults = append(faults, file+" begins from "+line[1]+", without a digest")
		}
		own[line[2]] = true
	}
	return faults
}

// read reads a file of the repository.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
