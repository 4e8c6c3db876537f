import {execFileSync} from 'node:child_process';
import {existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import ts from 'typescript';
import {readNumber, readSections, SECTION} from '../src/kernels/wasm/sections';

/**
 * Compiles src/kernels/wasm/assembly/ for SIMD128 and for relaxed SIMD, and writes both modules, as base64, to the git-ignored
 * src/kernels/wasm/binaries.ts. The same file has their interface in TypeScript, made from their exports: functions take their
 * arguments by name, so that a wrong or missing one is a type error.
 *
 * A module runs in the memory of tfjs's backend. The build fails if a module would do more there than run when it is called:
 * write data or run code when it is instantiated, grow the memory, or bring a memory of its own.
 */
const root = fileURLToPath(new URL('..', import.meta.url));
const entry = 'src/kernels/wasm/assembly/index.ts';
const target = join(root, 'src/kernels/wasm/binaries.ts');

const kindMemory = 2;
/** Most pages that a memory of 32-bit addresses can have. */
const maximumMemory = 65536;

const lines = [
  '/** Made from assembly/ by `npm run build:wasm`; see `simd_module.ts`. */',
  'export interface Binary {',
  '  base64: string;',
  '  /** Where the flags of the imported memory are; bit 1 says that it is shared. */',
  '  memoryFlags: number;',
  '}',
];
const interfaces = new Set<string>();
for (const [name, features] of Object.entries({
  simd: ['simd'],
  relaxed: ['simd', 'relaxed-simd'],
})) {
  const {binary, text, declarations} = compile(features);
  interfaces.add(interfaceOf(declarations));
  check(binary, text);
  const base64 = Buffer.from(binary).toString('base64');
  const memoryFlags = findMemoryFlags(binary);
  lines.push('', `export const ${name}: Binary = {`);
  lines.push(`  memoryFlags: ${memoryFlags},`, `  base64:`, `    '${base64}',`, '};');
  console.log(`${name}: ${binary.length} bytes`);
}
if (interfaces.size !== 1) throw new Error('The modules must have the same exports');
const source = [...lines, '', ...interfaces].join('\n');
// a program that reads it meanwhile would find half of it
if (!existsSync(target) || readFileSync(target, 'utf8') !== source) writeFileSync(target, source);

function compile(features: string[]): {binary: Uint8Array; text: string; declarations: string} {
  const temporary = mkdtempSync(join(tmpdir(), 'tfjs-owlore-wasm-'));
  try {
    const [binaryFile, textFile] = [join(temporary, 'module.wasm'), join(temporary, 'module.wat')];
    // as a program: its types would redefine Array for this whole project
    const options = [
      entry,
      ...['--outFile', binaryFile, '--textFile', textFile],
      // for its declarations, in module.d.ts
      ...['--bindings', 'raw'],
      ...['--optimizeLevel', '3', '--noAssert'],
      ...['--runtime', 'stub'],
      ...['--importMemory', '--noExportMemory'],
      ...['--initialMemory', '1', '--maximumMemory', String(maximumMemory)],
      // without the messages of failed assertions, which would be data
      ...['--use', 'abort='],
      // v128 is exchanged between the module's own functions only
      ...['--disableWarning', '112'],
      ...features.flatMap((feature) => ['--enable', feature]),
    ];
    execFileSync('npx', ['asc', ...options], {cwd: root, stdio: 'inherit'});
    const declarations = readFileSync(join(temporary, 'module.d.ts'), 'utf8');
    return {binary: readFileSync(binaryFile), text: readFileSync(textFile, 'utf8'), declarations};
  } finally {
    rmSync(temporary, {recursive: true, force: true});
  }
}

function check(binary: Uint8Array, text: string): void {
  const present = new Set(readSections(binary).map(({id}) => id));
  const unwanted = {
    'a data section would overwrite what tfjs keeps at the same addresses': present.has(
      SECTION.data,
    ),
    'a count of data segments is for a data section': present.has(SECTION.dataCount),
    'a start function would run before anything was asked for': present.has(SECTION.start),
    'the memory must be imported': present.has(SECTION.memory),
    'tfjs must learn of each growth of the memory': text.includes('memory.grow'),
  };
  for (const [reason, isThere] of Object.entries(unwanted)) {
    if (isThere) throw new Error(`The module cannot live in the memory of tfjs: ${reason}`);
  }
}

/** The interface of a module, and what makes one of its exports, from the declarations that the compiler gives. */
function interfaceOf(declarations: string): string {
  const source = ts.createSourceFile('module.d.ts', declarations, ts.ScriptTarget.Latest, true);
  const {body} = source.statements.find(ts.isModuleDeclaration)!;
  const types: string[] = [];
  const values: string[] = [];
  const positions: string[] = [];
  for (const statement of (body as ts.ModuleBlock).statements) {
    if (ts.isFunctionDeclaration(statement)) {
      const name = statement.name!.text;
      const parameters = statement.parameters.map((parameter) => ({
        name: parameter.name.getText(),
        type: parameter.type!.getText(),
        // as assembly/ has it: usize is an address or a number of bytes
        comment: ts.getJSDocParameterTags(parameter).map(({comment}) => comment as string),
      }));
      types.push(`  ${name}(named: {`);
      for (const {name, type, comment} of parameters) {
        types.push(`    /** ${comment.join()} */`, `    ${name}: ${type};`);
      }
      types.push(`  }): ${statement.type!.getText()};`);
      const given = parameters.map(({name}) => `named.${name}`).join(', ');
      values.push(`    ${name}: (named) => call.${name}!(${given}),`);
      const names = parameters.map((parameter) => `'${parameter.name}'`).join(', ');
      positions.push(`  ${name}: [${names}],`);
    } else if (ts.isVariableStatement(statement)) {
      const [constant] = statement.declarationList.declarations;
      const name = constant!.name.getText();
      types.push(`  ${name}: number;`);
      values.push(`    ${name}: (exports.${name} as WebAssembly.Global).value as number,`);
    }
  }
  return [
    '/** What the module does, with its arguments by name; the comments are their types there. A `usize` is an address or bytes. */',
    'export interface SimdModule {',
    ...types,
    '}',
    '',
    '/** The names of the arguments of each function, in the order in which an instance takes them. */',
    'export const positions = {',
    ...positions,
    '} as const;',
    '',
    '/** Of the exports of an instance, which take their arguments by position. */',
    'export function withNamedArguments(exports: WebAssembly.Exports): SimdModule {',
    '  const call = exports as Record<string, (...values: Array<number | boolean>) => never>;',
    '  return {',
    ...values,
    '  };',
    '}',
    '',
  ].join('\n');
}

/** Where the flags of the limits of the only import, the memory, are. */
function findMemoryFlags(binary: Uint8Array): number {
  const imports = readSections(binary).find(({id}) => id === SECTION.import);
  if (!imports) throw new Error('The module imports nothing');
  const [count, first] = readNumber(binary, imports.start);
  if (count !== 1) throw new Error('The module must import the memory and nothing else');
  let position = first;
  for (let name = 0; name < 2; name++) {
    const [length, start] = readNumber(binary, position);
    position = start + length;
  }
  if (binary[position] !== kindMemory) throw new Error('The module must import the memory');
  return position + 1;
}
