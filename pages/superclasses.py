"""Superclasses: a grouping against what people know of the tasks."""

import streamlit as st

from app import widgets

st.title("Superclasses")
run = widgets.choose_run()
