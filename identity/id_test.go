package identity

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
)

func TestIDGolden(t *testing.T) {
	// Bytes 5 to 31 are those of SHA-256("hello"), 2cf24dba5fb0a30e26e8….
	const sum = "b0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	tests := []struct {
		name string
		typ  Type
		area Area
		head string
		text string
	}{
		// 01 0001 00…: category 1, type 1, no area.
		{"device", TypeDevice, Area{}, "4400000000", "5aSixgM9eWX5gaCmKZy3GcF2TQVZ34om8jiEZrSJwqgo"},
		{"people", TypePeople, Area{}, "4800000000", "5r4MYfFVDrVwKLgfMb2prKDwVSkdrsDPUCwnadgHq4LB"},
		// 01 1001 and 34 ones.
		{"dir", TypeDir, Area{511, 15, 8191, 255}, "67ffffffff", "7zyQEWTbDqEFd8d8FwadkoULYQZCPrPCNWHo1hakZReK"},
		// 01 1000 | 1 0000 0000 | 1000 | 1 0000 0000 0000 | 1000 0000: the top bit of each field.
		{"file", TypeFile, Area{256, 8, 4096, 128}, "6201100080", "7bZtreMNTe7yALBB84SsoXpatcoLY3ULeCuxwi38vSLT"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			id, err := NewID(tt.typ, tt.area, []byte("hello"))
			if err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(id[:]); got != tt.head+sum {
				t.Errorf("bytes %s, want %s", got, tt.head+sum)
			}
			if id.String() != tt.text {
				t.Errorf("text %s, want %s", id, tt.text)
			}
			if id.Category() != 1 || id.Type() != tt.typ || id.Area() != tt.area {
				t.Errorf("category %d, type %v, area %v", id.Category(), id.Type(), id.Area())
			}
			if parsed, err := ParseID(tt.text); parsed != id || err != nil {
				t.Errorf("parsed %v, error %v", parsed, err)
			}
		})
	}
}

func TestNewIDArea(t *testing.T) {
	for _, area := range []Area{{Country: 512}, {Carrier: 16}, {City: 8192}} {
		_, err := NewID(TypeDevice, area, nil)
		wantError(t, err, ErrMalformed)
	}
}

func TestChunkID(t *testing.T) {
	id := ChunkID([]byte("hello"))
	const want = "5c00000005b0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	if got := hex.EncodeToString(id[:]); got != want {
		t.Errorf("chunk id %s, want %s", got, want)
	}
	if n, ok := ChunkLen(id); n != 5 || !ok {
		t.Errorf("length %d, %v", n, ok)
	}
	if !id.Area().IsZero() {
		t.Errorf("chunk has area %v", id.Area())
	}
	if _, ok := ChunkLen(mustID(t, TypeFile, "")); ok {
		t.Error("a file has a chunk length")
	}

	sum := sha256.Sum256(nil)
	if n, ok := ChunkLen(ChunkIDFromSum(sum, MaxChunkLen)); n != 1<<34-1 || !ok {
		t.Errorf("longest chunk has length %d, %v", n, ok)
	}
	for _, n := range []int64{-1, MaxChunkLen + 1} {
		if id := ChunkIDFromSum(sum, n); !id.IsZero() {
			t.Errorf("chunk of length %d has id %v", n, id)
		}
	}
}

func TestParseIDRefuses(t *testing.T) {
	valid := mustID(t, TypeDevice, "x").String()
	other := ID{0: 0x80} // category 2
	for name, s := range map[string]string{
		"empty":          "",
		"short":          valid[1:],
		"long":           valid + "1",
		"not base58":     "0" + valid[1:],
		"not ASCII":      valid[:42] + "é",
		"33 bytes":       strings.Repeat("z", 44),
		"other category": other.String(),
		"category 0":     strings.Repeat("1", 44),
	} {
		if _, err := ParseID(s); err == nil {
			t.Errorf("%s: accepted", name)
		} else {
			wantError(t, err, ErrMalformed)
		}
	}
}

func TestIDText(t *testing.T) {
	type doc struct{ A, B ID }
	in := doc{A: mustID(t, TypeDevice, "a")}
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"A":"` + in.A.String() + `","B":""}`; string(text) != want {
		t.Errorf("marshalled %s, want %s", text, want)
	}
	out := doc{B: in.A}
	if err := json.Unmarshal(text, &out); err != nil || out != in {
		t.Errorf("unmarshalled %v, error %v", out, err)
	}
	wantError(t, out.A.UnmarshalText([]byte("x")), ErrMalformed)
	if out.A != in.A {
		t.Error("a failed UnmarshalText changed the id")
	}
}

func TestIDStrings(t *testing.T) {
	id := mustID(t, TypeDevice, "a")
	if s := id.String(); id.Short() != s[len(s)-8:] {
		t.Errorf("short %q of %q", id.Short(), s)
	}
	if (ID{}).String() != "none" || (ID{}).Short() != "none" {
		t.Errorf("zero id prints as %q, %q", ID{}, ID{}.Short())
	}
	if s := TypeChunk.String() + " " + Type(3).String(); s != "chunk type 3" {
		t.Errorf("types print as %q", s)
	}
	if s := (Area{1, 2, 3, 4}).String(); s != "1.2.3.4" {
		t.Errorf("area prints as %q", s)
	}
}

func TestIDCompare(t *testing.T) {
	lo, hi := ID{31: 1}, ID{0: 1}
	if lo.Compare(hi) >= 0 || hi.Compare(lo) <= 0 || lo.Compare(lo) != 0 {
		t.Error("ids are not ordered as byte strings")
	}
}

func FuzzParseID(f *testing.F) {
	f.Add(mustID(f, TypeDevice, "a").String())
	f.Add(ChunkID([]byte("a")).String())
	f.Add(strings.Repeat("z", 44))
	f.Add(strings.Repeat("1", 44))
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseID(s)
		if err != nil {
			return
		}
		if id.Category() != 1 || id.String() != s {
			t.Errorf("%q parsed as %v", s, id)
		}
	})
}
