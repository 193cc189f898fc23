// @peculiar/x509 resolves its ASN.1 converters through decorators that need this polyfill before anything of it is loaded.
import 'reflect-metadata';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  AuthorityKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
  type Extension,
  type JsonGeneralName,
} from '@peculiar/x509';
import { createPrivateKey, createPublicKey, randomBytes, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';

const keyAlgorithm = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const signingAlgorithm = { name: 'ECDSA', hash: 'SHA-256' } as const;
const dayMs = 86_400_000;

/** A certificate with its private key (PKCS #8), both PEM. */
export interface KeyAndCertificate {
  readonly certificatePem: string;
  readonly keyPem: string;
}

/** What a certificate says: its subject, names and use. */
export interface CertificateSubject {
  readonly commonName: string;
  readonly organizations?: readonly string[];
  /** DNS names and IP addresses, told apart by their form. */
  readonly alternativeNames?: readonly string[];
  readonly use: 'server' | 'client' | 'both';
}

/** Lifetimes in days: certificates are renewed at start-up when less than a third of the lifetime remains. */
export const caLifetimeDays = 3650;
export const leafLifetimeDays = 365;

async function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return await webcrypto.subtle.generateKey(keyAlgorithm, true, ['sign', 'verify']);
}

async function exportKeyPem(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key));
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    .export({ format: 'pem', type: 'pkcs8' })
    .toString();
}

async function importKeyPem(pem: string): Promise<webcrypto.CryptoKey> {
  const der = createPrivateKey(pem).export({ format: 'der', type: 'pkcs8' });
  return await webcrypto.subtle.importKey('pkcs8', der, keyAlgorithm, true, ['sign']);
}

function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40; // positive and of constant length
  return bytes.toString('hex');
}

// A clock a little behind ours must not refuse a fresh certificate.
function validity(days: number, now: number): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(now - 3_600_000), notAfter: new Date(now + days * dayMs) };
}

/** A self-signed certificate authority. */
export async function createAuthority(commonName: string, now: number): Promise<KeyAndCertificate> {
  const keys = await generateKeys();
  const certificate = await X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: serialNumber(),
      name: [{ CN: [commonName] }],
      ...validity(caLifetimeDays, now),
      signingAlgorithm,
      keys,
      extensions: [
        new BasicConstraintsExtension(true, undefined, true),
        new KeyUsagesExtension(
          KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign | KeyUsageFlags.digitalSignature,
          true,
        ),
        await SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
      ],
    },
    webcrypto,
  );
  return {
    certificatePem: `${certificate.toString('pem')}\n`,
    keyPem: await exportKeyPem(keys.privateKey),
  };
}

/** A certificate signed by the authority. */
export async function createCertificate(
  authority: KeyAndCertificate,
  subject: CertificateSubject,
  now: number,
): Promise<KeyAndCertificate> {
  const issuer = new X509Certificate(authority.certificatePem);
  const keys = await generateKeys();
  const certificate = await X509CertificateGenerator.create(
    {
      serialNumber: serialNumber(),
      subject: [
        ...(subject.organizations ?? []).map((organization) => ({ O: [organization] })),
        { CN: [subject.commonName] },
      ],
      issuer: issuer.subjectName.toJSON(),
      ...validity(leafLifetimeDays, now),
      signingAlgorithm,
      publicKey: keys.publicKey,
      signingKey: await importKeyPem(authority.keyPem),
      extensions: await leafExtensions(issuer, subject),
    },
    webcrypto,
  );
  return {
    certificatePem: `${certificate.toString('pem')}\n`,
    keyPem: await exportKeyPem(keys.privateKey),
  };
}

async function leafExtensions(issuer: X509Certificate, subject: CertificateSubject): Promise<Extension[]> {
  const uses = [
    ...(subject.use === 'client' ? [] : [ExtendedKeyUsage.serverAuth]),
    ...(subject.use === 'server' ? [] : [ExtendedKeyUsage.clientAuth]),
  ];
  const names = (subject.alternativeNames ?? []).map((name): JsonGeneralName => ({
    type: isIP(name) === 0 ? 'dns' : 'ip',
    value: name,
  }));
  return [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature | KeyUsageFlags.keyEncipherment, true),
    new ExtendedKeyUsageExtension(uses),
    await AuthorityKeyIdentifierExtension.create(issuer, false, webcrypto),
    ...(names.length === 0 ? [] : [new SubjectAlternativeNameExtension(names)]),
  ];
}

/** Whether a certificate still says what it should, was signed by this authority, fits its key and has a third of its life before it. */
export async function isCertificateGood(
  authority: KeyAndCertificate,
  pair: KeyAndCertificate,
  subject: CertificateSubject,
  now: number,
): Promise<boolean> {
  try {
    const certificate = new X509Certificate(pair.certificatePem);
    const issuer = new X509Certificate(authority.certificatePem);
    const lifetime = certificate.notAfter.getTime() - certificate.notBefore.getTime();
    const signed = await certificate.verify({ publicKey: issuer.publicKey, signatureOnly: true }, webcrypto);
    return (
      signed &&
      certificate.notAfter.getTime() - now > lifetime / 3 &&
      certificate.notBefore.getTime() <= now &&
      certificate.subjectName.getField('CN')[0] === subject.commonName &&
      sameMembers(certificate.subjectName.getField('O'), subject.organizations ?? []) &&
      sameMembers(alternativeNamesOf(certificate), subject.alternativeNames ?? []) &&
      keyFits(certificate, pair.keyPem)
    );
  } catch {
    return false; // not parsable: written anew
  }
}

function keyFits(certificate: X509Certificate, keyPem: string): boolean {
  const own = createPublicKey(keyPem).export({ format: 'der', type: 'spki' });
  return Buffer.from(certificate.publicKey.rawData).equals(own);
}

function alternativeNamesOf(certificate: X509Certificate): string[] {
  const extension = certificate.getExtension(SubjectAlternativeNameExtension);
  return extension === null ? [] : extension.names.items.map((name) => name.value);
}

function sameMembers(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && [...left].sort().join('\n') === [...right].sort().join('\n');
}
