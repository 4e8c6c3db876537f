import {fork} from 'node:child_process';
import {mkdtempSync, readdirSync, rmSync} from 'node:fs';
import {createRequire} from 'node:module';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {build, type Plugin} from 'esbuild';
import type {recomputeGrad} from '../src/tape/recompute';
import type {engineGradients} from '../src/tape/gradients';

/**
 * Runs the specs in tfjs-core's npm package on the cpu backend, three times: with the stock tape, with all gradients taken on the
 * tape of src/tape, and with that tape and each differentiated function recomputed as one checkpoint. Fails if a spec that passes
 * with the stock tape fails with one of the others, or if too few pass with that one.
 */
const tapes = ['stock', 'lean', 'checkpoint'] as const;
type Tape = (typeof tapes)[number];

/** Of tfjs-core 4.22, 4102 of 4106 specs pass with the stock tape, and the 556 that take a gradient. */
const LEAST_PASSING = 4100;
const LEAST_WITH_GRADIENT = 550;

interface SpecResult {
  name: string;
  status: string;
  messages: string[];
  /** How many times the spec has taken a gradient. */
  gradients: number;
}

/** What the bundle of all specs exports: parts of the one copy of tfjs-core in it, and our tape on that copy. */
interface Bundle {
  engine(): {gradients: typeof engineGradients};
  engineGradients: typeof engineGradients;
  recomputeGrad: typeof recomputeGrad;
}

/** The parts of jasmine-core's interface that are used here; its types would collide with mocha's. */
interface Jasmine {
  boot(jasmineCore: Jasmine): {
    getEnv(): {
      configure(options: {random: boolean}): void;
      addReporter(reporter: {
        specStarted(): void;
        specDone(spec: {
          fullName: string;
          status: string;
          failedExpectations: Array<{message: string}>;
        }): void;
      }): void;
      execute(): Promise<unknown>;
    };
  };
}

const script = fileURLToPath(import.meta.url);
const root = dirname(dirname(script));
const require = createRequire(script);
const dist = join(dirname(require.resolve('@tensorflow/tfjs-core/package.json')), 'dist');

/** Specs import the modules of dist one by one: everything else has to use the same ones. */
const oneCore: Plugin = {
  name: 'one copy of tfjs-core',
  setup: ({onResolve}) =>
    onResolve({filter: /^@tensorflow\/tfjs-core$/}, () => ({path: join(dist, 'index.js')})),
};

const [tape, bundle] = process.argv.slice(2);
if (tape !== undefined && bundle !== undefined) {
  process.send!(await runSpecs(tape as Tape, bundle));
} else {
  const temporary = mkdtempSync(join(tmpdir(), 'tfjs-core-specs-'));
  try {
    const file = join(temporary, 'specs.cjs');
    await bundleSpecs(file);
    const results = await Promise.all(tapes.map((tape) => runInProcess(tape, file)));
    process.exitCode = report(results);
  } finally {
    rmSync(temporary, {recursive: true});
  }
}

/**
 * All specs of tfjs-core, except those of files, platforms, backends, flags and the debug mode, which need another environment
 * or print much.
 */
function specFiles(): string[] {
  return readdirSync(dist, {recursive: true, encoding: 'utf8'})
    .filter((file) => file.endsWith('_test.js'))
    .filter((file) => !/^(io|platforms|backends|environment_test|debug_mode_test)\b/.test(file))
    .sort();
}

async function bundleSpecs(outfile: string): Promise<void> {
  const inDist = (file: string): string => JSON.stringify(join(dist, file));
  const contents = `
    const tf = require('@tensorflow/tfjs-core');
    require(${inDist('public/chained_ops/register_all_chained_ops.js')});
    require(${inDist('register_all_gradients.js')});
    require('@tensorflow/tfjs-backend-cpu');
    require(${inDist('jasmine_util.js')}).setTestEnvs([{name: 'cpu', backendName: 'cpu', isDataSync: true}]);
    exports.engine = tf.engine;
    exports.engineGradients = require('./src/tape/gradients').engineGradients;
    exports.recomputeGrad = require('./src/tape/recompute').recomputeGrad;
    ${specFiles()
      .map((file) => `require(${inDist(file)});`)
      .join('\n')}
  `;
  await build({
    stdin: {contents, resolveDir: root},
    outfile,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    mainFields: ['module', 'main'],
    // By tfjs-core's "sideEffects" its specs could be dropped.
    ignoreAnnotations: true,
    plugins: [oneCore],
    logLevel: 'warning',
  });
}

/** In a process of its own for each tape, because the specs change the global state of tfjs. */
function runInProcess(tape: Tape, bundle: string): Promise<SpecResult[]> {
  return new Promise((resolve, reject) => {
    const child = fork(script, [tape, bundle], {stdio: ['ignore', 'ignore', 'inherit', 'ipc']});
    child.once('message', (results) => resolve(results as SpecResult[]));
    child.once('error', reject);
    child.once('exit', (code) =>
      reject(new Error(`The run on the ${tape} tape ended with ${code}`)),
    );
  });
}

async function runSpecs(tape: Tape, bundle: string): Promise<SpecResult[]> {
  const jasmineCore = require('jasmine-core') as Jasmine;
  const environment = jasmineCore.boot(jasmineCore).getEnv();
  const {engine, engineGradients, recomputeGrad} = require(bundle) as Bundle;
  const core = engine();
  const takeGradients: Record<Tape, typeof engineGradients> = {
    stock: core.gradients.bind(core),
    lean: engineGradients,
    checkpoint: (f, ...rest) => engineGradients(recomputeGrad(f), ...rest),
  };
  let gradients = 0;
  core.gradients = (...args) => {
    gradients++;
    return takeGradients[tape](...args);
  };
  const results: SpecResult[] = [];
  environment.configure({random: false});
  environment.addReporter({
    specStarted: () => (gradients = 0),
    specDone: ({fullName, status, failedExpectations}) => {
      const messages = failedExpectations.map(({message}) => message);
      results.push({name: fullName, status, messages, gradients});
    },
  });
  await environment.execute();
  return results;
}

/** Prints counts and what our tape breaks; returns the exit code. */
function report(runs: SpecResult[][]): number {
  const stock = runs[0]!;
  const takesGradient = stock.map(({gradients}) => gradients > 0);
  const passes = ({status}: SpecResult): boolean => status === 'passed';
  const [all, some] = [stock, stock.filter((_, spec) => takesGradient[spec])].map(
    (specs) => specs.filter(passes).length,
  );
  if (all! < LEAST_PASSING || some! < LEAST_WITH_GRADIENT) {
    throw new Error(
      `${all} specs pass with the stock tape, ${some} of them with a gradient; at least ${LEAST_PASSING} and ` +
        `${LEAST_WITH_GRADIENT} have to`,
    );
  }
  let broken = 0;
  runs.forEach((results, i) => {
    if (stock.some(({name}, spec) => name !== results[spec]?.name)) {
      throw new Error(`The ${tapes[i]!} tape has run other specs than the stock tape`);
    }
    const withGradient = results.filter((_, spec) => takesGradient[spec]);
    console.log(
      `${tapes[i]!} tape: ${results.filter(passes).length} of ${results.length} specs pass, ` +
        `${withGradient.filter(passes).length} of the ${withGradient.length} that take a gradient`,
    );
    results.forEach((result, spec) => {
      if (!passes(stock[spec]!) || passes(result)) return;
      broken++;
      console.log(`\n${result.name}\n  ${result.messages.join('\n  ')}`);
    });
  });
  if (broken > 0) console.log(`\n${broken} times a spec passes with the stock tape alone`);
  return broken > 0 ? 1 : 0;
}
