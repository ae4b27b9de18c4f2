module github.com/mailwright/mailwright/migrations

go 1.26.0
