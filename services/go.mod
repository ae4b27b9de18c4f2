module github.com/mailwright/mailwright/services

go 1.26.0

require (
	github.com/Azure/go-ansiterm v0.0.0-20250102033503-faa5f7b0171c
	github.com/go-ldap/ldap/v3 v3.4.15
	github.com/jimlambrt/gldap v0.1.14
	github.com/mailwright/mailwright/migrations v0.0.0
	github.com/mailwright/mailwright/pkg v0.0.0
	github.com/mailwright/mailwright/schemas v0.0.0
	golang.org/x/term v0.40.0
)

require (
	github.com/alecthomas/kong v1.17.0
	gopkg.in/yaml.v3 v3.0.1
)

replace github.com/mailwright/mailwright/migrations => ../migrations

replace github.com/mailwright/mailwright/pkg => ../pkg

replace github.com/mailwright/mailwright/schemas => ../schemas
