package tenant

// Powerful lists the properties that are refused by default, for the test of the page that names
// them.
func Powerful() map[string]string { return powerful }

// PowerfulBits names the bits of userAccountControl that are refused by default.
func PowerfulBits() (names []string) {
	for _, b := range powerfulBits {
		names = append(names, b.name)
	}
	return names
}
