// The scripts' tests are no part of what is released. They have a module of their own, so that
// scripts/events can run them without Go's test cache, which does not know the files that they use.
module github.com/mailwright/mailwright/scripts

go 1.26.0
