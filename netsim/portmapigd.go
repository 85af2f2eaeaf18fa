package netsim

import (
	"net/netip"
	"slices"
	"strconv"
	"time"
)

const (
	igdMaxLease       = 604_800 * time.Second // WANIPConnection:2 §2.3.21
	igdFirstPort      = 1024                  // WANIPConnection:2 §2.5.16: others are for administrators
	igdMaxDescription = 256                   // bytes that are kept
)

func (pm *portMapper) igdAddress(netip.Addr, soapArgs) (soapArgs, soapError) {
	address := ""
	if a := pm.nat.external; a.IsValid() {
		address = a.String()
	}
	return soapArgs{"NewExternalIPAddress": address}, 0
}

func (pm *portMapper) igdStatus(netip.Addr, soapArgs) (soapArgs, soapError) {
	status := "Connected"
	if !pm.nat.external.IsValid() {
		status = "Disconnected"
	}
	up := upnpSeconds(pm.nat.net.at - pm.booted)
	return soapArgs{"NewConnectionStatus": status, "NewLastConnectionError": "ERROR_NONE", "NewUptime": up}, 0
}

func (pm *portMapper) igdRSIP(netip.Addr, soapArgs) (soapArgs, soapError) {
	return soapArgs{"NewRSIPAvailable": "0", "NewNATEnabled": "1"}, 0
}

// igdProtocol reads NewProtocol.
func igdProtocol(s string) (Protocol, bool) {
	switch s {
	case "UDP":
		return UDP, true
	case "TCP":
		return TCP, true
	}
	return 0, false
}

func igdProtocolName(p Protocol) string {
	if p == TCP {
		return "TCP"
	}
	return "UDP"
}

// outer reads the arguments that name an external endpoint.
func (in soapArgs) outer(external netip.Addr) (endpoint, soapError) {
	proto, ok := igdProtocol(in["NewProtocol"])
	num, err := strconv.ParseUint(in["NewExternalPort"], 10, 16)
	if !ok || err != nil {
		return endpoint{}, soapInvalidArgs
	}
	return endpoint{proto, netip.AddrPortFrom(external, uint16(num))}, 0
}

// igdMapping reads the arguments of AddPortMapping and AddAnyPortMapping.
func (pm *portMapper) igdMapping(from netip.Addr, in soapArgs) (*explicitMapping, soapError) {
	outer, why := in.outer(pm.nat.external)
	if why != 0 {
		return nil, why
	}
	num, err := strconv.ParseUint(in["NewInternalPort"], 10, 16)
	lease, leaseErr := strconv.ParseUint(in["NewLeaseDuration"], 10, 32)
	client, clientErr := netip.ParseAddr(in["NewInternalClient"])
	enabled, known := igdBoolean[in["NewEnabled"]]
	switch {
	case err != nil || leaseErr != nil || clientErr != nil || !known || !client.Is4():
		return nil, soapInvalidArgs
	case in["NewRemoteHost"] != "":
		return nil, soapNoRemoteHost
	case num == 0:
		return nil, soapNoWildcardInPort
	case !enabled: // it would let nobody in
		return nil, soapActionFailed
	case client != from && !pm.cfg.ThirdParty:
		return nil, soapNotAuthorized
	case !pm.nat.external.IsValid():
		return nil, soapActionFailed
	}
	if out := pm.nat.routes.lookup(client); out == nil || out.link == pm.nat.uplink || out.link == pm.link {
		return nil, soapInvalidArgs // no host below
	}
	e := &explicitMapping{by: byIGD, text: in["NewPortMappingDescription"]}
	e.text = e.text[:min(len(e.text), igdMaxDescription)]
	e.mapping = mapping{proto: outer.proto, inner: netip.AddrPortFrom(client, uint16(num)), outer: outer.AddrPort, explicit: true}
	e.until = pm.lease(time.Duration(lease) * time.Second)
	return e, 0
}

var igdBoolean = map[string]bool{"1": true, "true": true, "yes": true, "0": false, "false": false, "no": false}

// lease returns when a lease ends that is taken now. One of no length is permanent in version 1,
// and the longest that there is in version 2.
func (pm *portMapper) lease(d time.Duration) time.Duration {
	switch {
	case d == 0 && pm.cfg.IGD == 1:
		return forever
	case d == 0:
		d = igdMaxLease
	}
	return pm.nat.net.at + min(d, igdMaxLease)
}

// igdAdd maps the port that is asked for, or none.
func (pm *portMapper) igdAdd(from netip.Addr, in soapArgs) (soapArgs, soapError) {
	e, why := pm.igdMapping(from, in)
	if why != 0 {
		return nil, why
	}
	return nil, pm.igdEnter(e)
}

// igdEnter makes e, or has it take the place of one of the same host's at the same port.
func (pm *portMapper) igdEnter(e *explicitMapping) soapError {
	if e.outer.Port() == 0 {
		return soapNoWildcardPort
	}
	if old := pm.at(e.proto, e.outer); old != nil {
		switch {
		case old.by != byIGD && pm.cfg.IGD >= 2:
			return soapOtherMechanism
		case old.by != byIGD || old.inner.Addr() != e.inner.Addr():
			return soapConflict
		}
		pm.remove(old)
		pm.add(e)
		return 0
	}
	m := pm.nat.byOuter[endpoint{e.proto, e.outer}]
	own := m != nil && m.inner == e.inner // it has that port already
	switch {
	case !pm.nat.cfg.PortRange.contains(e.outer.Port()) || pm.cfg.IGD >= 2 && e.outer.Port() < igdFirstPort:
		return soapNotAuthorized
	case !own && !pm.canHave(e.proto, e.outer, e.inner):
		return soapConflict
	case pm.full():
		return pm.noPortMaps()
	}
	pm.add(e)
	return 0
}

func (pm *portMapper) noPortMaps() soapError {
	if pm.cfg.IGD == 1 {
		return soapActionFailed
	}
	return soapNoPortMaps
}

// igdAddAny maps the port that is asked for, or another (WANIPConnection:2 §2.5.17).
func (pm *portMapper) igdAddAny(from netip.Addr, in soapArgs) (soapArgs, soapError) {
	e, why := pm.igdMapping(from, in)
	if why != 0 {
		return nil, why
	}
	if e.outer.Port() != 0 {
		why = pm.igdEnter(e)
	}
	if e.outer.Port() == 0 || why == soapConflict || why == soapOtherMechanism || why == soapNotAuthorized {
		if pm.full() {
			return nil, pm.noPortMaps()
		}
		outer, ok := pm.nat.allocate(e.proto, e.inner, netip.AddrPortFrom(netip.IPv4Unspecified(), 0))
		if !ok {
			return nil, soapNoPortMaps
		}
		e.outer, why = outer, 0
		pm.add(e)
	}
	return soapArgs{"NewReservedPort": strconv.Itoa(int(e.outer.Port()))}, why
}

// igdFind returns the mapping that the arguments name. Mappings of other protocols are not in the
// table of UPnP.
func (pm *portMapper) igdFind(in soapArgs) (*explicitMapping, soapError) {
	outer, why := in.outer(pm.nat.external)
	if why != 0 {
		return nil, why
	}
	e := pm.at(outer.proto, outer.AddrPort)
	if e == nil || e.by != byIGD || in["NewRemoteHost"] != "" {
		return nil, soapNoSuchEntry
	}
	return e, 0
}

func (pm *portMapper) igdDelete(from netip.Addr, in soapArgs) (soapArgs, soapError) {
	e, why := pm.igdFind(in)
	switch {
	case why != 0:
		return nil, why
	case e.inner.Addr() != from && !pm.cfg.ThirdParty:
		return nil, soapNotAuthorized
	}
	pm.remove(e)
	return nil, 0
}

func (pm *portMapper) igdSpecific(_ netip.Addr, in soapArgs) (soapArgs, soapError) {
	e, why := pm.igdFind(in)
	if why != 0 {
		return nil, why
	}
	return pm.igdEntry(e), 0
}

func (pm *portMapper) igdGeneric(_ netip.Addr, in soapArgs) (soapArgs, soapError) {
	i, err := strconv.ParseUint(in["NewPortMappingIndex"], 10, 16)
	if err != nil {
		return nil, soapInvalidArgs
	}
	list := slices.DeleteFunc(slices.Clone(pm.list), func(e *explicitMapping) bool { return e.by != byIGD })
	if i >= uint64(len(list)) {
		return nil, soapIndexInvalid
	}
	return pm.igdEntry(list[i]), 0
}

// igdEntry tells of a mapping.
func (pm *portMapper) igdEntry(e *explicitMapping) soapArgs {
	return soapArgs{
		"NewRemoteHost": "", "NewExternalPort": strconv.Itoa(int(e.outer.Port())), "NewProtocol": igdProtocolName(e.proto),
		"NewInternalPort": strconv.Itoa(int(e.inner.Port())), "NewInternalClient": e.inner.Addr().String(),
		"NewEnabled": "1", "NewPortMappingDescription": e.text, "NewLeaseDuration": upnpSeconds(e.lifetime(pm.nat.net.at)),
	}
}
