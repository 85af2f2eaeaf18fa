package netsim

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A soapError is an error of UPnP Device Architecture 2.0 §3.1.5, WANIPConnection:1 §2.4 or
// WANIPConnection:2 §2.5.
type soapError int

const (
	soapInvalidAction    soapError = 401
	soapInvalidArgs      soapError = 402
	soapActionFailed     soapError = 501
	soapNotAuthorized    soapError = 606
	soapIndexInvalid     soapError = 713
	soapNoSuchEntry      soapError = 714
	soapNoWildcardPort   soapError = 716
	soapConflict         soapError = 718
	soapNoRemoteHost     soapError = 726
	soapNoPortMaps       soapError = 728 // version 1 has it as 501
	soapOtherMechanism   soapError = 729
	soapNoWildcardInPort soapError = 732
)

var soapErrorText = map[soapError]string{
	soapInvalidAction: "Invalid Action", soapInvalidArgs: "Invalid Args", soapActionFailed: "Action Failed",
	soapNotAuthorized: "Action not authorized", soapIndexInvalid: "SpecifiedArrayIndexInvalid",
	soapNoSuchEntry: "NoSuchEntryInArray", soapNoWildcardPort: "WildCardNotPermittedInExtPort",
	soapConflict: "ConflictInMappingEntry", soapNoRemoteHost: "RemoteHostOnlySupportsWildcard",
	soapNoPortMaps: "NoPortMapsAvailable", soapOtherMechanism: "ConflictWithOtherMechanisms",
	soapNoWildcardInPort: "WildCardNotPermittedInIntPort",
}

// soapArgs are the arguments of an action by name.
type soapArgs map[string]string

// A igdAction is an action of WANIPConnection.
type igdAction struct {
	name    string
	version int      // of the device that has it first
	in, out []string // arguments, in order
	do      func(pm *portMapper, from netip.Addr, in soapArgs) (soapArgs, soapError)
}

var (
	portKey   = []string{"NewRemoteHost", "NewExternalPort", "NewProtocol"}
	portValue = []string{"NewInternalPort", "NewInternalClient", "NewEnabled", "NewPortMappingDescription", "NewLeaseDuration"}
)

// igdActions are those that this device has.
var igdActions = [...]igdAction{
	{"GetExternalIPAddress", 1, nil, []string{"NewExternalIPAddress"}, (*portMapper).igdAddress},
	{"GetStatusInfo", 1, nil, []string{"NewConnectionStatus", "NewLastConnectionError", "NewUptime"}, (*portMapper).igdStatus},
	{"GetNATRSIPStatus", 1, nil, []string{"NewRSIPAvailable", "NewNATEnabled"}, (*portMapper).igdRSIP},
	{"AddPortMapping", 1, slices.Concat(portKey, portValue), nil, (*portMapper).igdAdd},
	{"AddAnyPortMapping", 2, slices.Concat(portKey, portValue), []string{"NewReservedPort"}, (*portMapper).igdAddAny},
	{"DeletePortMapping", 1, portKey, nil, (*portMapper).igdDelete},
	{"GetSpecificPortMappingEntry", 1, portKey, portValue, (*portMapper).igdSpecific},
	{"GetGenericPortMappingEntry", 1, []string{"NewPortMappingIndex"}, slices.Concat(portKey, portValue), (*portMapper).igdGeneric},
}

// parseSOAP reads the action that an envelope holds. The name has its service's type as
// namespace.
func parseSOAP(b []byte) (action xml.Name, args soapArgs, ok bool) {
	var env struct {
		XMLName xml.Name `xml:"http://schemas.xmlsoap.org/soap/envelope/ Envelope"`
		Body    struct {
			Actions []struct {
				XMLName xml.Name
				Args    []struct {
					XMLName xml.Name
					Value   string `xml:",chardata"`
				} `xml:",any"`
			} `xml:",any"`
		} `xml:"http://schemas.xmlsoap.org/soap/envelope/ Body"`
	}
	if len(b) > maxHTTPRequest || xml.Unmarshal(b, &env) != nil || len(env.Body.Actions) != 1 {
		return xml.Name{}, nil, false
	}
	a := env.Body.Actions[0]
	args = make(soapArgs, len(a.Args))
	for _, arg := range a.Args {
		args[arg.XMLName.Local] = strings.TrimSpace(arg.Value)
	}
	return a.XMLName, args, true
}

// soap does what a SOAP request of a host says, and returns the HTTP status and envelope of the
// answer (UPnP Device Architecture 2.0 §3.1).
func (pm *portMapper) soap(from netip.Addr, body []byte) (status int, answer []byte) {
	name, in, ok := parseSOAP(body)
	if !ok {
		return soapFault(soapInvalidArgs)
	}
	i := slices.IndexFunc(igdActions[:], func(a igdAction) bool { return a.name == name.Local && a.version <= pm.cfg.IGD })
	version, isOurs := strings.CutPrefix(name.Space, upnpURN+wanIPConnection)
	if v, err := strconv.Atoi(version); !isOurs || err != nil || v < 1 || v > pm.cfg.IGD || i < 0 {
		return soapFault(soapInvalidAction)
	}
	a := &igdActions[i]
	for _, arg := range a.in {
		if _, ok := in[arg]; !ok {
			return soapFault(soapInvalidArgs)
		}
	}
	pm.prune()
	out, why := a.do(pm, from, in)
	if why != 0 {
		return soapFault(why)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<u:%sResponse xmlns:u="%s">`, a.name, name.Space)
	for _, arg := range a.out {
		b.WriteString("<" + arg + ">")
		_ = xml.EscapeText(&b, []byte(out[arg])) // a bytes.Buffer takes all
		b.WriteString("</" + arg + ">")
	}
	fmt.Fprintf(&b, "</u:%sResponse>", a.name)
	return 200, soapEnvelope(b.String())
}

func soapFault(e soapError) (status int, answer []byte) {
	return 500, soapEnvelope(fmt.Sprintf("<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>"+
		`<UPnPError xmlns="urn:schemas-upnp-org:control-1-0"><errorCode>%d</errorCode><errorDescription>%s</errorDescription></UPnPError>`+
		"</detail></s:Fault>", e, soapErrorText[e]))
}

func soapEnvelope(body string) []byte {
	return []byte(xml.Header + `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>` +
		body + "</s:Body></s:Envelope>")
}

// upnpSeconds is a time as UPnP has it.
func upnpSeconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }
