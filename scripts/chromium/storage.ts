/**
 * A browser's own storage, in chromium: the tests of folders, models and checkpoints in it, in a page and in a worker; saves whose worker
 * is ended in the middle; and models of the Hub that the browser keeps.
 */
import {readFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import {fileURLToPath} from 'node:url';
import {HubServer, type HubOptions} from '../../test/llama/hub/hub_server';
import {bundlePage, runPage, scriptPage} from '../../tools/run_page';
import {BYTES, CUT, FILE, MODEL, type KeptModels} from './kept_models';
import type {KilledSaves} from './killed_saves';
import type {Counts, Progress} from './run_mocha';

const root = new URL('../../', import.meta.url);
const pathOf = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** Runs all of it; whether all was right. */
export async function runStorage(): Promise<boolean> {
  const all = await Promise.all([runTests(), runKillsAndHub()]);
  return all.every((isRight) => isRight);
}

function say(isRight: boolean, what: string): boolean {
  console.log(`${isRight ? 'ok' : 'FAILED'}: ${what}`);
  return isRight;
}

async function runTests(): Promise<boolean> {
  const tests = ['files/directory_handle', 'browser_storage'];
  const nodeModules = pathOf('node_modules.ts');
  const script = await bundlePage(null, {
    stdin: {
      resolveDir: fileURLToPath(root),
      contents: [
        "import {runMocha} from './scripts/chromium/run_mocha';",
        "import '@tensorflow/tfjs-backend-cpu';",
        "import {mochaHooks} from './test/support/hooks';",
        "mocha.setup({reporter: 'dot', ui: 'bdd', timeout: 30_000, rootHooks: mochaHooks});",
        ...tests.map((name) => `await import('./test/${name}_test.ts');`),
        'runMocha();',
      ].join('\n'),
    },
    alias: {'node:fs': nodeModules, 'node:url': nodeModules},
    define: {
      'process.env.OWLORE_BACKENDS': '"cpu"',
      'process.env.OWLORE_CHOOSES': '"false"',
    },
  });
  const mocha = createRequire(import.meta.url).resolve('mocha/mocha.js');
  // as deep as the files that read fixtures
  const path = '/test/llama/files/tests.js';
  const inPage = scriptPage(path).replace('<body>', '<script src="/mocha.js"></script><body>');
  const run = async (title: string, html: string): Promise<boolean> => {
    const {passed, failed} = await runPage<Counts>({
      html,
      files: {
        '/mocha.js': readFileSync(mocha),
        '/worker.js': `importScripts('/mocha.js'); import('${path}');`,
        [path]: script,
        '/test/': new URL('test/', root),
      },
      onProgress: (message) => {
        const {path, error} = message as Progress;
        if (error !== undefined) console.error(`FAILED: ${path.join(' › ')}: ${error}`);
      },
    });
    const isRight = failed === 0 && passed > 0;
    return say(isRight, `storage in ${title}: ${passed} tests passed, ${failed} failed`);
  };
  const all = await Promise.all([
    run('a page', inPage),
    run('a worker', "<!doctype html><script>new Worker('/worker.js');</script>"),
  ]);
  return all.every((isRight) => isRight);
}

async function runKillsAndHub(): Promise<boolean> {
  const hub = await HubServer.start(MODEL);
  const bytes = Uint8Array.from({length: BYTES}, (_, i) => (i * 7) % 251);
  hub.push('main', new Map([[FILE, bytes]]));
  try {
    const {saves, models} = await runPage<{saves: KilledSaves; models: KeptModels}>({
      html: scriptPage('/page.js'),
      files: {
        '/page.js': await bundlePage(pathOf('stored.ts')),
        '/saver.js': await bundlePage(pathOf('saver.ts')),
      },
      query: new URLSearchParams({hub: hub.endpoint}).toString(),
      onProgress: (options) => {
        if (options === 'cut') hub.cut();
        else hub.options = options as HubOptions;
        return {};
      },
    });
    const {kills, saved, files} = saves;
    const areWhole =
      files.sort().join() === 'README.md,config.json,model.safetensors,tokenizer.json';
    const isWhole = say(areWhole, `${kills} workers were ended in ${saved} saves: ${files.join()}`);
    const sum = bytes.reduce((total, byte) => total + byte, 0);
    const [kept] = models.kept;
    const isKept =
      models.brokenOff.includes(`${CUT} of ${BYTES} bytes have come and stay`) &&
      models.from === CUT &&
      models.sums.every((each) => each === sum) &&
      kept?.name === MODEL &&
      kept.bytes === BYTES &&
      models.left === 0;
    return say(isKept, `a model of the Hub that is kept: ${JSON.stringify(models)}`) && isWhole;
  } finally {
    await hub.close();
  }
}
