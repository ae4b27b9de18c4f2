package process

// Mozilla's certificate authorities, for machines that have none, such as our images. They come by
// the hash in go.sum. Copied from the machine that builds, they could hold an authority that only
// its network should trust. Where a machine has a list of its own, that one counts.
import _ "golang.org/x/crypto/x509roots/fallback"
