package netsim

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// SSDP is how hosts find an InternetGatewayDevice: UPnP Device Architecture 2.0 §1.
const (
	ssdpPort = 1900
	ssdpHops = 2    // §1.1.2
	ssdpAge  = 1800 // seconds that an announcement holds, §1.2.2
	ssdpSize = 1 << 11
)

var ssdpGroup = netip.AddrPortFrom(netip.AddrFrom4([4]byte{239, 255, 255, 250}), ssdpPort)

const (
	ssdpServer = "netsim/1 UPnP/2.0 netsim/1"
	upnpURN    = "urn:schemas-upnp-org:"
)

// A upnpTarget is what can be searched for, and the device that has it.
type upnpTarget struct {
	name     string // without a version
	version  int    // 0: the name has none
	ofDevice int    // index of igdDevices
}

// igdDevices are the device and those inside it, which all have an id of their own.
var igdDevices = [...]string{"device:InternetGatewayDevice:", "device:WANDevice:", "device:WANConnectionDevice:"}

const wanIPConnection = "service:WANIPConnection:"

// targets returns all that the device can be found by.
func (pm *portMapper) targets() []upnpTarget {
	list := []upnpTarget{{"upnp:rootdevice", 0, 0}}
	for i, d := range igdDevices {
		list = append(list, upnpTarget{"uuid:" + pm.uuid(i), 0, i}, upnpTarget{upnpURN + d, pm.cfg.IGD, i})
	}
	return append(list, upnpTarget{upnpURN + wanIPConnection, pm.cfg.IGD, len(igdDevices) - 1})
}

// at returns the target in a version.
func (t upnpTarget) at(version int) string {
	if t.version == 0 {
		return t.name
	}
	return fmt.Sprint(t.name, version)
}

// uuid returns the id of a device: the same in every run.
func (pm *portMapper) uuid(device int) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], mix(pm.nat.net.cfg.Seed, pm.nat.id, uint64(device), 1))
	binary.BigEndian.PutUint64(b[8:], mix(pm.nat.net.cfg.Seed, pm.nat.id, uint64(device), 2))
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // RFC 9562 §5.4
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// location is where the description of the device is.
func (pm *portMapper) location() string {
	return fmt.Sprintf("http://%v%s", netip.AddrPortFrom(pm.addr(true), igdPort), igdDescriptionPath)
}

// parseSearch reads an M-SEARCH request and returns its target. Everything else gets no answer.
func parseSearch(b []byte) (target string, ok bool) {
	if len(b) > ssdpSize {
		return "", false
	}
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b)))
	if err != nil || r.Method != "M-SEARCH" || r.RequestURI != "*" || r.Header.Get("Man") != `"ssdp:discover"` {
		return "", false
	}
	target = r.Header.Get("St")
	return target, target != ""
}

// search returns the answers to a search: one for each target that it is about. They leave at
// once, where hosts in a crowd would wait for up to MX seconds.
func (pm *portMapper) search(b []byte) (answers [][]byte) {
	want, ok := parseSearch(b)
	if !ok {
		return nil
	}
	for _, t := range pm.targets() {
		name := ""
		if want == "ssdp:all" {
			name = t.at(t.version)
		}
		for v := range pm.cfg.IGD { // §1.3.3: a device of version 2 is one of version 1 as well
			if want == t.at(v+1) {
				name = want
			}
		}
		if name == "" {
			continue
		}
		answers = append(answers, fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=%d\r\nEXT:\r\nLOCATION: %s\r\nSERVER: %s\r\nST: %s\r\nUSN: %s\r\n\r\n",
			ssdpAge, pm.location(), ssdpServer, name, pm.usn(t, name)))
	}
	return answers
}

// notifications say that the device is there.
func (pm *portMapper) notifications() (all [][]byte) {
	for _, t := range pm.targets() {
		name := t.at(t.version)
		all = append(all, fmt.Appendf(nil, "NOTIFY * HTTP/1.1\r\nHOST: %v\r\nCACHE-CONTROL: max-age=%d\r\nLOCATION: %s\r\nNT: %s\r\nNTS: ssdp:alive\r\nSERVER: %s\r\nUSN: %s\r\n\r\n",
			ssdpGroup, ssdpAge, pm.location(), name, ssdpServer, pm.usn(t, name)))
	}
	return all
}

// usn is the unique name of a target.
func (pm *portMapper) usn(t upnpTarget, name string) string {
	id := "uuid:" + pm.uuid(t.ofDevice)
	if strings.HasPrefix(name, "uuid:") {
		return id
	}
	return id + "::" + name
}
