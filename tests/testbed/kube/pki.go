package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// certificates makes two authorities, the cluster's and the front proxy's, and
// what they sign.
func certificates(dir string) error {
	cluster, front := &authority{dir: dir}, &authority{dir: dir}
	const server, user = x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth
	for _, one := range []struct {
		by           *authority
		name, common string
		groups       []string
		usage        x509.ExtKeyUsage
	}{
		{cluster, "ca", "testbed-ca", nil, 0},
		{cluster, "apiserver", "kube-apiserver", nil, server},
		{cluster, "kubelet", "system:node:testbed", nil, server},
		{cluster, "extension", "extension", nil, server},
		{cluster, "kubelet-client", "kube-apiserver", nil, user},
		{cluster, "service-account", "service-account", nil, user},
		{cluster, "admin", "admin", []string{"system:masters"}, user},
		{cluster, "system", "system:testbed", []string{"system:masters"}, user},
		{front, "front-proxy-ca", "testbed-front-proxy-ca", nil, 0},
		{front, "front-proxy-client", "front-proxy-client", nil, user},
	} {
		if err := one.by.issue(one.name, one.common, one.groups, one.usage); err != nil {
			return err
		}
	}
	return nil
}

type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func writePEM(path, kind string, der []byte, mode os.FileMode) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode)
}

// issue makes NAME.crt and NAME.key in the authority's folder; without a
// signing certificate so far it makes the authority itself.
func (a *authority) issue(name, user string, groups []string, usage x509.ExtKeyUsage) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	now := time.Now()
	cert := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: user, Organization: groups},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(30 * 24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{usage},
	}
	parent, signer := a.cert, a.key
	switch {
	case parent == nil:
		cert.IsCA, cert.BasicConstraintsValid = true, true
		cert.KeyUsage, cert.ExtKeyUsage = x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature, nil
		parent, signer = cert, key
	case usage == x509.ExtKeyUsageServerAuth:
		cert.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
		cert.DNSNames = []string{"localhost", "kubernetes", "kubernetes.default.svc", "weather.kube-system.svc"}
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, &key.PublicKey, signer)
	if err != nil {
		return err
	}
	if a.cert == nil {
		if a.cert, err = x509.ParseCertificate(der); err != nil {
			return err
		}
		a.key = key
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	base := filepath.Join(a.dir, name)
	if err := writePEM(base+".crt", "CERTIFICATE", der, 0o644); err != nil {
		return err
	}
	return writePEM(base+".key", "EC PRIVATE KEY", secret, 0o600)
}
