module github.com/mailwright/mailwright/schemas

go 1.26.0
