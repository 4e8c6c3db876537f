import {apollo, apolloMini} from './apollo';
import {fira} from './fira';
import {galore} from './galore';
import type {UpdateRule} from './rule';

const all = {galore, fira, apollo, 'apollo-mini': apolloMini};

/** The name of an update rule, in the option `update`. */
export type UpdateName = keyof typeof all;

/** All update rules, one line each. */
export const updateRules: Readonly<Record<UpdateName, UpdateRule>> = all;

/** What moves a matrix of whose gradient no more than R is known, whatever the option says. */
export const subspaceRule: UpdateRule = galore;

/** The choices of the option `update`. */
export const updateNames = Object.keys(all) as UpdateName[];
