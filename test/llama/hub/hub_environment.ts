import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';

/** What the environment says of the Hub. */
const NAMES = [
  ...['HF_ENDPOINT', 'HF_HOME', 'HF_HUB_CACHE', 'HUGGINGFACE_HUB_CACHE', 'HF_HUB_OFFLINE'],
  ...['TRANSFORMERS_OFFLINE', 'HF_TOKEN', 'HF_TOKEN_PATH', 'XDG_CACHE_HOME'],
];

/** A new folder for the Hub's cache and token, as long as a test runs; the environment says nothing else of the Hub. */
export class HubEnvironment {
  readonly home = mkdtempSync(join(tmpdir(), 'owlore-hub-'));
  private readonly before = NAMES.map((name) => [name, process.env[name]] as const);

  constructor() {
    for (const name of NAMES) Reflect.deleteProperty(process.env, name);
    process.env['HF_HOME'] = this.home;
  }

  /** The folder of a model in the cache. */
  model(id: string, ...path: string[]): string {
    return join(this.home, 'hub', `models--${id.replace('/', '--')}`, ...path);
  }

  end(): void {
    for (const [name, value] of this.before) {
      if (value === undefined) Reflect.deleteProperty(process.env, name);
      else process.env[name] = value;
    }
    rmSync(this.home, {recursive: true, force: true});
  }
}
