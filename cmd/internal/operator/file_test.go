package operator

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"# a comment", ""},
		{"list: [a, b]", ""},
		{"list: !000 ", "[1:7] the tag !000 means nothing here"},
		{"a: 0\nlist:\n  - !!str x\n", "[3:5] the tag !!str means nothing here"},
		{"lists: []", "unknown field \"lists\""},
		{"list: [", "[1:7]"},
		{"#" + strings.Repeat("x", maxFile), "more than 1048576 bytes"},
	} {
		var s struct {
			A    int      `yaml:"a"`
			List []string `yaml:"list"`
		}
		err := Parse([]byte(c.text), &s)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40q: %v, want %q", c.text, err, c.want)
		}
	}
}

func TestReadFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x.yaml")
	if err := os.WriteFile(name, make([]byte, 3*maxFile), 0o600); err != nil {
		t.Fatal(err)
	}
	size := 0
	_, err := ReadFile(name, "deploy/x.yaml", func(b []byte) (int, error) {
		size = len(b)
		return 0, Parse(b, new(struct{}))
	})
	if err == nil || size != maxFile+1 || !strings.Contains(err.Error(), name) {
		t.Errorf("%d bytes read, %v", size, err)
	}
	if _, err := ReadFile(name+".no", "", func([]byte) (int, error) { return 0, nil }); err == nil {
		t.Error("a file that is not there is read")
	}
}
