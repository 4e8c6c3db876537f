/**
 * Gives the page the headers under which threads share memory, also on a host that sends none, and keeps its files, so that the page works
 * without a network. Of other hosts it sees nothing.
 */
import {pageHeaders} from './content_security_policy';

/** What is used of the types that TypeScript has for a worker, but not beside those of a page. */
interface ExtendableEvent extends Event {
  waitUntil(work: Promise<unknown>): void;
}
interface FetchEvent extends ExtendableEvent {
  request: Request;
  respondWith(answer: Promise<Response>): void;
}
interface Scope {
  addEventListener(type: 'install' | 'activate', listener: (event: ExtendableEvent) => void): void;
  addEventListener(type: 'fetch', listener: (event: FetchEvent) => void): void;
  addEventListener(
    type: 'message',
    listener: (event: ExtendableEvent & {data: unknown}) => void,
  ): void;
  skipWaiting(): Promise<void>;
  clients: {claim(): Promise<void>};
  registration: {scope: string};
}
const scope = self as unknown as Scope;

/** The files of this build, by their paths below the page, and its name; the build puts them here. */
const build = JSON.parse('BUILD') as {name: string; files: string[]};
const prefix = `owlore ${scope.registration.scope} `;
const cacheName = prefix + build.name;

scope.addEventListener('install', (event) => event.waitUntil(scope.skipWaiting()));

scope.addEventListener('activate', (event) => event.waitUntil(activate()));

async function activate(): Promise<void> {
  const names = await caches.keys();
  const old = names.filter((name) => name.startsWith(prefix) && name !== cacheName);
  // tabs that are open, which may train, are of the build before, and ask for more of its files
  await Promise.all(old.slice(0, -1).map((name) => caches.delete(name)));
  await scope.clients.claim();
}

scope.addEventListener('fetch', (event) => {
  const {request} = event;
  const path = request.method === 'GET' ? pathOf(request.url) : null;
  if (path === null) return;
  if (build.files.includes(path)) event.respondWith(answer(request, path));
  // A model's files are looked for by many names, also where there is no network to say that there is none.
  else if (path.startsWith('model/')) event.respondWith(notFound());
  else event.respondWith(answerOfBefore(request));
});

scope.addEventListener('message', (event) => {
  if (event.data === 'keep all') event.waitUntil(keepAll());
});

/** The path below the page; null for any other address. */
function pathOf(url: string): string | null {
  const {scope: root} = scope.registration;
  if (!url.startsWith(root)) return null;
  return decodeURI(url.slice(root.length).replace(/[?#].*/, '')) || 'index.html';
}

async function notFound(): Promise<Response> {
  return new Response(null, {status: 404, headers: pageHeaders});
}

async function answer(request: Request, path: string): Promise<Response> {
  const cache = await caches.open(cacheName);
  const url = scope.registration.scope + path;
  const kept = await cache.match(url);
  // The name of a page stays when it changes, that of all others has a hash or stands for a build's file.
  if (kept && path !== 'index.html') return partOf(request, kept);
  try {
    // All of the file, also where a part is asked for, so that it can be kept.
    const response = await fetch(path === 'index.html' ? request : url);
    // a file that does not fit is not kept
    if (response.status === 200 && !response.redirected)
      await cache.put(url, response.clone()).catch(() => undefined);
    return await partOf(request, response);
  } catch (error) {
    if (kept) return partOf(request, kept);
    throw error;
  }
}

/** What is no file of this build, but may be one of the build before. */
async function answerOfBefore(request: Request): Promise<Response> {
  const kept = await caches.match(request.url);
  return kept ? partOf(request, kept) : fetch(request);
}

/** A response with the headers, of the bytes that a request asks for. */
async function partOf(request: Request, response: Response): Promise<Response> {
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(pageHeaders)) headers.set(name, value);
  const {status, statusText} = response;
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.get('range') ?? '');
  if (status !== 200 || !range) return new Response(response.body, {status, statusText, headers});
  const whole = await response.blob();
  const from = Number(range[1]);
  const to = Math.min(range[2] ? Number(range[2]) + 1 : whole.size, whole.size);
  const part = whole.slice(from, to);
  headers.set('content-range', `bytes ${from}-${to - 1}/${whole.size}`);
  headers.set('content-length', String(part.size));
  headers.delete('content-encoding');
  return new Response(part, {status: 206, headers});
}

/** Keeps what the page has not asked for yet. */
async function keepAll(): Promise<void> {
  const cache = await caches.open(cacheName);
  for (const path of build.files) {
    const url = scope.registration.scope + path;
    if (!(await cache.match(url))) await cache.add(url);
  }
}
