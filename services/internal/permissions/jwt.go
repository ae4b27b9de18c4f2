package permissions

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// CredsFile is the file that holds the credentials of a user, in the folder of the seeds.
func CredsFile(dir, user string) string { return filepath.Join(dir, user+".creds") }

// Files of the seeds that sign, in the folder of the seeds. No program needs them.
const (
	operatorSeed = "issuer-operator.nk"
	accountSeed  = "issuer-account.nk"
	systemSeed   = "issuer-system.nk"
)

// issuer is a pair of keys that signs, or is signed for.
type issuer struct {
	nkeys.KeyPair
	public string
}

func issuerOf(dir, file string, create func() (nkeys.KeyPair, error)) (issuer, error) {
	pair, err := keyPair(filepath.Join(dir, file), create)
	if err != nil {
		return issuer{}, err
	}
	public, err := pair.PublicKey()
	return issuer{pair, public}, err
}

// JWT writes a part of a NATS server's configuration that names an operator and the account by
// JWTs, and the credentials of each user into the folder of the seeds. Credentials that are there
// are replaced, since they hold the permissions; the keys stay.
func JWT(dir string, users []User) (string, error) {
	if _, err := Seeds(dir, users); err != nil {
		return "", err
	}
	operator, err1 := issuerOf(dir, operatorSeed, nkeys.CreateOperator)
	account, err2 := issuerOf(dir, accountSeed, nkeys.CreateAccount)
	system, err3 := issuerOf(dir, systemSeed, nkeys.CreateAccount)
	if err := errors.Join(err1, err2, err3); err != nil {
		return "", err
	}
	for _, u := range users {
		if err := writeCredentials(dir, account, u); err != nil {
			return "", fmt.Errorf("credentials of %s: %w", u.Name, err)
		}
	}
	operatorToken, err1 := operatorJWT(operator, system)
	accountToken, err2 := accountJWT(operator, account, Account, true)
	systemToken, err3 := accountJWT(operator, system, "SYS", false)
	if err := errors.Join(err1, err2, err3); err != nil {
		return "", err
	}
	var w strings.Builder
	w.WriteString("# Written by 'mailwright nats permissions'. Include it in the configuration of a NATS server.\n")
	w.WriteString("# A client sends its JWT, with all its permissions, in one line.\nmax_control_line: 64KB\n")
	fmt.Fprintf(&w, "operator: %s\nsystem_account: %s\nresolver: MEMORY\n", operatorToken, system.public)
	fmt.Fprintf(&w, "resolver_preload: {\n  %s: %s\n  %s: %s\n}\n", account.public, accountToken, system.public, systemToken)
	return w.String(), nil
}

func operatorJWT(operator, system issuer) (string, error) {
	claims := jwt.NewOperatorClaims(operator.public)
	claims.Name, claims.SystemAccount = "mailwright", system.public
	return claims.Encode(operator)
}

func accountJWT(operator, account issuer, name string, jetStream bool) (string, error) {
	claims := jwt.NewAccountClaims(account.public)
	claims.Name = name
	if jetStream {
		claims.Limits.JetStreamLimits = jwt.JetStreamLimits{
			MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit, MaxAckPending: jwt.NoLimit,
			MemoryMaxStreamBytes: jwt.NoLimit, DiskMaxStreamBytes: jwt.NoLimit,
		}
	}
	return claims.Encode(operator)
}

// writeCredentials writes a user's JWT, which the account signs, and its seed.
func writeCredentials(dir string, account issuer, u User) error {
	seed, err := os.ReadFile(SeedFile(dir, u.Name))
	if err != nil {
		return err
	}
	pair, err := nkeys.ParseDecoratedNKey(seed)
	if err != nil {
		return err
	}
	defer pair.Wipe()
	key, err := pair.PublicKey()
	if err != nil {
		return err
	}
	claims := jwt.NewUserClaims(key)
	claims.Name = u.Name
	claims.Pub.Allow, claims.Pub.Deny, claims.Sub.Allow = subjects(u.Publish), subjects(u.Deny), subjects(u.Subscribe)
	token, err := claims.Encode(account)
	if err != nil {
		return err
	}
	text, err := jwt.FormatUserConfig(token, []byte(strings.TrimSpace(string(seed))))
	if err != nil {
		return err
	}
	file := CredsFile(dir, u.Name)
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return writeOnce(file, text)
}

func subjects(rules []Rule) jwt.StringList {
	var list jwt.StringList
	for _, r := range rules {
		list = append(list, r.Subject)
	}
	return list
}
