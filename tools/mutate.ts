/**
 * Breaks a program at one place, which is found in its syntax tree: by the name of the function, and in it by the code to change.
 * Line breaks, comments and the rest of the function do not matter.
 */
import ts from 'typescript';

/** One change of a program. */
export interface Mutant {
  /** What the changed program no longer does. */
  mechanism: string;
  /**
   * The code that changes: an expression, or, with a semicolon at its end, a statement. A name that starts with `$` stands for any
   * expression, the same one each time.
   */
  from: string;
  /** What takes its place; `$` names stand for what they have stood for in `from`. */
  to: string;
}

/**
 * The source with the change made.
 *
 * @param place The function, method, class or constant that the change is in: its name, after those of what it is a part of:
 *   `share`, `Holds.hold`.
 * @throws Error that names the mechanism and the place if there is no such place, or not one such code in it.
 */
export function mutate(
  source: string,
  file: string,
  place: string,
  {mechanism, from, to}: Mutant,
): string {
  const fail = (problem: string): never => {
    throw new Error(`mutant '${mechanism}': ${file} ${problem}`);
  };
  let scope: ts.Node = parse(source);
  for (const name of place.split('.')) {
    const found = declarationsIn(scope, name);
    if (found.length !== 1) fail(`has ${found.length} times, not once: ${place}`);
    scope = found[0]!;
  }
  const pattern = parsePattern(from);
  const matches: Match[] = [];
  visit(scope, (node) => {
    const names = new Map<string, string>();
    if (isSame(pattern, node, names)) matches.push({node, names});
  });
  if (matches.length !== 1) fail(`has in ${place} ${matches.length} times, not once: ${from}`);
  const {node, names} = matches[0]!;
  const replacement = to.replace(/\$\w+/g, (name) => names.get(name) ?? name);
  return source.slice(0, node.getStart()) + replacement + source.slice(node.getEnd());
}

interface Match {
  node: ts.Node;
  /** The code that each `$` name stands for. */
  names: ReadonlyMap<string, string>;
}

function parse(source: string): ts.SourceFile {
  return ts.createSourceFile('source.ts', source, ts.ScriptTarget.Latest, true);
}

function parsePattern(code: string): ts.Node {
  if (code.trimEnd().endsWith(';')) return parse(code).statements[0]!;
  // In parentheses, or `{a}` would be a block.
  const statement = parse(`(${code});`).statements[0] as ts.ExpressionStatement;
  return (statement.expression as ts.ParenthesizedExpression).expression;
}

/** The declarations of a name in a piece of code, without those inside of other declarations. */
function declarationsIn(scope: ts.Node, name: string): ts.Node[] {
  const found: ts.Node[] = [];
  const look = (node: ts.Node): void => {
    const declared = nameOf(node);
    if (declared === name) found.push(node);
    if (declared === undefined) ts.forEachChild(node, look);
  };
  ts.forEachChild(scope, look);
  return found;
}

function nameOf(node: ts.Node): string | undefined {
  if (ts.isConstructorDeclaration(node)) return 'constructor';
  const isDeclaration =
    ts.isFunctionDeclaration(node) ||
    ts.isClassDeclaration(node) ||
    ts.isMethodDeclaration(node) ||
    ts.isAccessor(node) ||
    ts.isVariableDeclaration(node) ||
    ts.isPropertyDeclaration(node) ||
    ts.isPropertyAssignment(node);
  return isDeclaration ? node.name?.getText() : undefined;
}

function visit(node: ts.Node, see: (node: ts.Node) => void): void {
  see(node);
  ts.forEachChild(node, (child) => visit(child, see));
}

/** Whether code matches a pattern; notes what its `$` names stand for. */
function isSame(pattern: ts.Node, node: ts.Node, names: Map<string, string>): boolean {
  if (ts.isIdentifier(pattern) && pattern.text.startsWith('$')) {
    const code = names.get(pattern.text) ?? node.getText();
    names.set(pattern.text, code);
    return code === node.getText();
  }
  if (pattern.kind !== node.kind || wordOf(pattern) !== wordOf(node)) return false;
  const [parts, others] = [childrenOf(pattern), childrenOf(node)];
  return (
    parts.length === others.length && parts.every((part, i) => isSame(part, others[i]!, names))
  );
}

function childrenOf(node: ts.Node): ts.Node[] {
  const children: ts.Node[] = [];
  ts.forEachChild(node, (child) => void children.push(child));
  return children;
}

/** What tells two nodes of the same kind apart that have no children: a name, a literal, the sign of `-x`. */
function wordOf(node: ts.Node): string | number | undefined {
  if (ts.isIdentifier(node) || ts.isPrivateIdentifier(node)) return node.text;
  if (ts.isLiteralExpression(node) || ts.isTemplateHead(node)) return node.text;
  if (ts.isTemplateMiddle(node) || ts.isTemplateTail(node)) return node.text;
  if (ts.isPrefixUnaryExpression(node) || ts.isPostfixUnaryExpression(node)) return node.operator;
  return undefined;
}
