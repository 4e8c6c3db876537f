/** Hosts that the page is opened from, and one that it must never ask. */
import {execFile, spawn} from 'node:child_process';
import {once} from 'node:events';
import {readFileSync} from 'node:fs';
import {createServer, type Server} from 'node:http';
import {connect, type AddressInfo} from 'node:net';
import {extname} from 'node:path';
import {TLSSocket} from 'node:tls';
import {fileURLToPath} from 'node:url';
import {promisify} from 'node:util';
import {contentTypes} from '../../tools/run_page';

const demo = new URL('../../demo/web/', import.meta.url);

export interface Host {
  /** The page's address there. */
  url: string;
  close(): Promise<void>;
}

/** Builds the page. */
export async function buildPage(): Promise<void> {
  await promisify(execFile)('npm', ['run', 'build'], {cwd: fileURLToPath(demo)});
}

/** The host of `npm run demo:web`, at a free port. */
export async function startPreview(): Promise<Host> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}/`;
  const vite = fileURLToPath(new URL('../../node_modules/vite/bin/vite.js', import.meta.url));
  const program = spawn(
    process.execPath,
    [
      vite,
      'preview',
      '--host',
      '127.0.0.1',
      '--port',
      String(port),
      '--strictPort',
      '--bypass-lock',
    ],
    {cwd: fileURLToPath(demo), stdio: ['ignore', 'ignore', 'inherit']},
  );
  const ended = once(program, 'exit');
  const answers = (): Promise<boolean> => fetch(url).then(({ok}) => ok, () => false); // prettier-ignore
  while (!(await answers())) {
    if (program.exitCode !== null) throw new Error(`vite preview ended with ${program.exitCode}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return {
    url,
    async close() {
      program.kill();
      await ended;
    },
  };
}

export interface PlainHost extends Host {
  /** Files that it has in the place of the build's, by their paths below the page; null: it has none. */
  changed: Map<string, string | null>;
}

/** A host of static files that sends no headers of its own, and has the page below a path. */
export async function startPlainHost(): Promise<PlainHost> {
  const path = '/of/somebody/';
  const changed = new Map<string, string | null>();
  const server = createServer((request, response) => {
    const {pathname} = new URL(request.url!, 'http://localhost');
    // A pathname that was parsed has no `..` left.
    const name = pathname.startsWith(path) ? pathname.slice(path.length) || 'index.html' : null;
    try {
      if (name === null) throw new Error('not below the path');
      const other = changed.get(name);
      if (other === null) throw new Error('not there any more');
      const body = other ?? readFileSync(new URL(`dist/${name}`, demo));
      const type = contentTypes[extname(name)] ?? 'application/octet-stream';
      response.writeHead(200, {'content-type': type}).end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  return {url: `${await listen(server)}${path}`, changed, close: () => close(server)};
}

export interface Elsewhere extends Host {
  /** What it was asked for, by the page or as its proxy for every host but this machine. */
  asked: string[];
  /** Hosts in whose name a server of this machine answers, each with its port; it answers nothing in the name of others. */
  standsFor: Map<string, number>;
}

/** A host that answers everybody, and says what it was asked for. */
export async function startElsewhere(): Promise<Elsewhere> {
  const asked: string[] = [];
  const standsFor = new Map<string, number>();
  const certificate = await newCertificate();
  // chromium's own affairs, of which the page's policy would let it ask none
  const isOfBrowser = (url: string): boolean =>
    /^(https?:\/\/)?[\w.-]+\.google(apis)?\.com[:/]/.test(url);
  const server = createServer((request, response) => {
    if (!isOfBrowser(request.url!)) asked.push(request.url!);
    const headers = {
      'access-control-allow-origin': '*',
      'access-control-allow-headers': '*',
      'cross-origin-resource-policy': 'cross-origin',
    };
    response.writeHead(request.url!.startsWith('/') ? 200 : 502, headers).end();
  });
  server.on('connect', (request, socket) => {
    if (!isOfBrowser(request.url!)) asked.push(`https://${request.url!}`);
    const port = standsFor.get(request.url!.replace(/:443$/, ''));
    if (port === undefined) {
      socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
      return;
    }
    socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
    const ends = [
      new TLSSocket(socket, {isServer: true, ...certificate}),
      connect(port, '127.0.0.1'),
    ];
    ends.forEach((end, i) => {
      const other = ends[1 - i]!;
      end.pipe(other);
      end.on('error', () => other.destroy()).on('close', () => other.destroy());
    });
  });
  return {url: await listen(server), asked, standsFor, close: () => close(server)};
}

/** A certificate that browsers take which are told to take any. */
async function newCertificate(): Promise<{key: string; cert: string}> {
  const how = 'req -x509 -newkey rsa:2048 -nodes -subj /CN=test -days 2 -keyout - -out -';
  const {stdout} = await promisify(execFile)('openssl', how.split(' '));
  return {key: stdout, cert: stdout};
}

async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function close(server: Server): Promise<void> {
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
}

async function freePort(): Promise<number> {
  const server = createServer();
  const {port} = new URL(await listen(server));
  await close(server);
  return Number(port);
}
