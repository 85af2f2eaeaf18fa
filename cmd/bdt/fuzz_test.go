package main

import (
	"strings"
	"testing"

	"github.com/bdtnet/bdt/cmd/internal/flagvalue"
	"github.com/bdtnet/bdt/identity"
)

const fuzzID = "5aSixgM8AdcAMCPHdkPEwwcuUzT3aJZhkdkVYj5SXKct" // a device's

// FuzzParseTarget: what a target names can be dialled.
func FuzzParseTarget(f *testing.F) {
	f.Add("bdt:")
	f.Add("FXj9v3ffDFTHWMtMBA3rKTzJdLPg")
	f.Add(fuzzID + "/web")
	f.Fuzz(func(t *testing.T, s string) {
		target, err := parseTarget(s)
		if err != nil {
			return
		}
		if ty := target.ID().Type(); ty != identity.TypeDevice && ty != identity.TypePeople {
			t.Fatalf("%q names a %v", s, ty)
		}
	})
}

// FuzzParseForwards: each forward has two ends and a service.
func FuzzParseForwards(f *testing.F) {
	f.Add("8080 " + fuzzID + "/web unix:a bdt:" + fuzzID + "?s=x")
	f.Add("h:1")
	f.Fuzz(func(t *testing.T, s string) {
		args := strings.Split(s, " ")
		list, err := parseForwards(args)
		if err != nil {
			return
		}
		if len(list) != len(args)/2 {
			t.Fatalf("%d forwards from %q", len(list), args)
		}
		for _, one := range list {
			if one.local.Addr == "" || flagvalue.CheckService(one.target.Service) != nil {
				t.Fatalf("%q is %+v", s, one)
			}
		}
	})
}

// FuzzParseURL: what a request names can be dialled, and stays at that device.
func FuzzParseURL(f *testing.F) {
	f.Add("bdt://"+fuzzID+"/a?b=c", "", false)
	f.Add("bdt://a.b."+fuzzID, "", false)
	f.Add(fuzzID, "/x", true)
	f.Fuzz(func(t *testing.T, first, second string, two bool) {
		args := []string{first}
		if two {
			args = append(args, second)
		}
		target, u, err := new(fetch).parse(args)
		if err != nil {
			return
		}
		if u.Host != target.ID().String() || u.Scheme != "http" || !strings.HasPrefix(u.RequestURI(), "/") {
			t.Fatalf("%q is %v", args, u)
		}
		if flagvalue.CheckService(target.Service) != nil {
			t.Fatalf("%q asks the service %q", args, target.Service)
		}
	})
}
