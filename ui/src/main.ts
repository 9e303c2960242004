import { mount } from 'svelte';
import App from './App.svelte';
import { chooseBackend } from './lib/backend';
import { App as State } from './lib/state/app.svelte';
import './styles/tokens.css';
import './styles/global.css';

const state = new State(await chooseBackend());
const target = document.getElementById('app');
if (target) mount(App, { target, props: { state } });
