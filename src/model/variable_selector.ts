import {display} from '../common/options';
import {fromSavedText, toSavedText} from '../tfjs/saved_config';

/** Picks variables: by name, by a pattern of names, or by a function. */
export type VariableSelector = readonly string[] | RegExp | ((variable: VariableInfo) => boolean);

/** What a selector sees of a variable. */
export interface VariableInfo {
  /** Name of the `tf.Variable`, e.g. `dense_1/kernel`. */
  name: string;
  shape: readonly number[];
}

/** Whether `selector` picks `variable`. A string picks the variable of that name, or all variables of the layer of that name. */
export function selects(selector: VariableSelector, variable: VariableInfo): boolean {
  if (typeof selector === 'function') return selector(variable);
  if (selector instanceof RegExp) return matchOf(selector, variable.name) !== null;
  return selector.some((name) => variable.name === name || variable.name.startsWith(`${name}/`));
}

/** How a pattern first matches a text; without the flags g and y, by which it would begin where its last match ended. */
export function matchOf(pattern: RegExp, text: string): RegExpExecArray | null {
  return new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, '')).exec(text);
}

/** Those of a selector's names, or its pattern, that pick none of the variables: typing errors, perhaps. None for a function. */
export function unmatched(
  selector: VariableSelector,
  variables: readonly VariableInfo[],
): string[] {
  if (typeof selector === 'function') return [];
  const entries = selector instanceof RegExp ? [selector] : selector;
  return entries
    .filter((entry) => {
      const picks = entry instanceof RegExp ? entry : [entry];
      return !variables.some((variable) => selects(picks, variable));
    })
    .map(display);
}

/** Throws unless `value` is a selector. */
export function checkSelector(
  owner: string,
  name: string,
  value: unknown,
  others?: string,
): asserts value is VariableSelector {
  const ok =
    typeof value === 'function' ||
    value instanceof RegExp ||
    (Array.isArray(value) && value.every((entry) => typeof entry === 'string'));
  if (!ok) {
    throw new Error(
      `${owner}: ${name} must be ${others ? `${others}, ` : ''}an array of variable or layer names, a regular expression or a function; ` +
        `got ${display(value)}`,
    );
  }
}

/** A selector as JSON that tfjs does not change when it loads a saved model. Throws for a function, which cannot be saved. */
export function selectorToConfig(owner: string, name: string, selector: VariableSelector): unknown {
  if (typeof selector === 'function') {
    throw new Error(
      `${owner}: ${name} is a function, which cannot be saved; use names or a regular expression, or save the model ` +
        'without includeOptimizer',
    );
  }
  if (selector instanceof RegExp) {
    return {pattern: toSavedText(selector.source), flags: selector.flags};
  }
  return selector.map(toSavedText);
}

/** The reverse of {@link selectorToConfig}. */
export function selectorFromConfig(config: unknown): VariableSelector {
  if (Array.isArray(config)) return (config as string[]).map(fromSavedText);
  const {pattern, flags} = config as {pattern: string; flags: string};
  return new RegExp(fromSavedText(pattern), flags);
}
